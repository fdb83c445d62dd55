"""llama.cpp's C interface (`llama.h`), as the library inside xllamacpp's wheel exports it.

Only the library is loaded, not the package's Python modules: those offer an HTTP server alone, and nothing of
it runs here. The interface changes from one release to the next, so the wheel's version is pinned, and what
the library says of its own defaults is held against what this file expects before anything is called.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_float,
    c_int,
    c_int32,
    c_uint32,
    c_void_p,
)
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wasmind.errors import InvalidEncoding

# Read when the library is loaded; idle threads burn a core otherwise.
os.environ["OMP_WAIT_POLICY"] = "passive"

PACKAGE = "xllamacpp"
VERSION = "2026.10.11549"
"""The release whose `llama.h` this is."""

ERROR_LEVEL = 4
"""ggml_log_level: what went wrong."""
MMAP = 1
"""llama_load_mode: the weights stay in the file's pages, which all processes share."""

Log = CFUNCTYPE(None, c_int, c_char_p, c_void_p)


class ModelParams(Structure):
    """llama_model_params."""

    _fields_ = [
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int),
        ("load_mode", c_int),
        ("lazy_mode", c_int),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    ]


class ContextParams(Structure):
    """llama_context_params."""

    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int),
        ("rope_scaling_type", c_int),
        ("pooling_type", c_int),
        ("attention_type", c_int),
        ("flash_attn_type", c_int),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int),
        ("type_v", c_int),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("_unknown", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", ctypes.c_size_t),
        ("ctx_other", c_void_p),
    ]


class Batch(Structure):
    """llama_batch."""

    _fields_ = [
        ("n_tokens", c_int32),
        ("token", c_void_p),
        ("embd", c_void_p),
        ("pos", c_void_p),
        ("n_seq_id", c_void_p),
        ("seq_id", c_void_p),
        ("logits", c_void_p),
    ]


class SamplerParams(Structure):
    """llama_sampler_chain_params."""

    _fields_ = [("no_perf", c_bool)]


class Message(Structure):
    """llama_chat_message."""

    _fields_ = [("role", c_char_p), ("content", c_char_p)]


_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_version": (c_char_p, []),
    "llama_backend_init": (None, []),
    "llama_supports_gpu_offload": (c_bool, []),
    "llama_log_set": (None, [Log, c_void_p]),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_sampler_chain_default_params": (SamplerParams, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, ModelParams]),
    "llama_model_desc": (c_int32, [c_void_p, c_char_p, ctypes.c_size_t]),
    "llama_model_n_ctx_train": (c_int32, [c_void_p]),
    "llama_model_has_encoder": (c_bool, [c_void_p]),
    "llama_model_has_decoder": (c_bool, [c_void_p]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_model_chat_template": (c_char_p, [c_void_p, c_char_p]),
    "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
    "llama_n_ctx": (c_uint32, [c_void_p]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_clear": (None, [c_void_p, c_bool]),
    "llama_vocab_type": (c_int, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_vocab_is_eog": (c_bool, [c_void_p, c_int32]),
    "llama_tokenize": (c_int32, [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool]),
    "llama_token_to_piece": (c_int32, [c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool]),
    "llama_batch_get_one": (Batch, [POINTER(c_int32), c_int32]),
    "llama_decode": (c_int32, [c_void_p, Batch]),
    "llama_set_abort_callback": (None, [c_void_p, c_void_p, c_void_p]),
    "llama_chat_apply_template": (
        c_int32,
        [c_char_p, POINTER(Message), ctypes.c_size_t, c_bool, c_char_p, c_int32],
    ),
    "llama_sampler_chain_init": (c_void_p, [SamplerParams]),
    "llama_sampler_chain_add": (None, [c_void_p, c_void_p]),
    "llama_sampler_init_greedy": (c_void_p, []),
    "llama_sampler_init_dist": (c_void_p, [c_uint32]),
    "llama_sampler_init_top_k": (c_void_p, [c_int32]),
    "llama_sampler_init_top_p": (c_void_p, [c_float, ctypes.c_size_t]),
    "llama_sampler_init_min_p": (c_void_p, [c_float, ctypes.c_size_t]),
    "llama_sampler_init_temp": (c_void_p, [c_float]),
    "llama_sampler_init_penalties": (c_void_p, [c_int32, c_int32, c_float, c_float, c_float]),
    "llama_sampler_sample": (c_int32, [c_void_p, c_void_p, c_int32]),
    "llama_sampler_free": (None, [c_void_p]),
}

_MODEL_DEFAULTS = {"n_gpu_layers": -1, "split_mode": 1, "load_mode": -1, "use_extra_bufts": True}
_CONTEXT_DEFAULTS = {
    "n_ctx": 512,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "n_outputs_max_per_seq": 1,
    "rope_scaling_type": -1,
    "pooling_type": -1,
    "attention_type": -1,
    "flash_attn_type": -1,
    "yarn_ext_factor": -1.0,
    "yarn_beta_slow": -1.0,
    "defrag_thold": -1.0,
    "type_k": 1,
    "type_v": 1,
    "offload_kqv": True,
    "no_perf": True,
    "op_offload": True,
    "swa_full": True,
}


class Words:
    """What the library last said of what went wrong.

    Made before the process is confined: a function that C can call is a little code, made at run time.
    """

    def __init__(self, library: Any) -> None:
        self._said: list[str] = []
        self._hear = Log(self._add)  # kept: the library calls it for as long as it lives
        library.llama_log_set(self._hear, None)

    def _add(self, level: int, text: bytes, _data: object) -> None:
        if level == ERROR_LEVEL:
            self._said = [*self._said[-3:], text.decode("utf-8", "replace").strip()[:500]]

    def take(self) -> str | None:
        """Its last words, once; None if there are none."""
        said, self._said = self._said, []
        return "; ".join(said) or None


def library() -> Any:
    """Load the library, with the types of its functions.

    Raises ModuleNotFoundError when the package is not installed, InvalidEncoding when it is another release
    or the library cannot be loaded.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    try:
        loaded = ctypes.CDLL(str(Path(found.origin).with_name("xllamacpp.abi3.so")))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise InvalidEncoding(
            "llama.cpp cannot be loaded",
            cause=str(error),
            remedy=f"install libgomp (on Debian: apt install libgomp1) and {PACKAGE}=={VERSION}",
        ) from error
    for params, known in (
        (loaded.llama_model_default_params(), _MODEL_DEFAULTS),
        (loaded.llama_context_default_params(), _CONTEXT_DEFAULTS),
    ):
        other = [name for name, value in known.items() if getattr(params, name) != value]
        if other:
            raise InvalidEncoding(
                f"this release of {PACKAGE} has another interface than {VERSION}",
                cause=f"it has other defaults for {', '.join(other)}",
                remedy=f"pip install {PACKAGE}=={VERSION}",
            )
    return loaded
