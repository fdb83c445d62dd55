"""A text that a language model writes, token by token."""

from __future__ import annotations

import ctypes
import secrets
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from wasmind.errors import ContextFull, EndOfSequence, PromptTooLong, RuntimeFailed
from wasmind.worker.runtimes import llama

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.runtimes.ggml import Context, GgmlExecution, GgmlModel
    from wasmind.worker.runtimes.options import Options

_ABORTED = 2
_BUILD = int(llama.VERSION.rpartition(".")[2])


class Usage(msgspec.Struct):
    """What a generation took, as WasmEdge tells it, and how it ended."""

    input_tokens: int
    output_tokens: int
    finish: str | None = None
    """`stop`: the model ended it, or a `stop` text came; `length`: it has all its tokens; `context`: the
    context is full. None while it goes on."""
    llama_build_number: int = _BUILD
    llama_commit: str = ""


class Text:
    """One text in the making."""

    def __init__(
        self, model: GgmlModel, execution: GgmlExecution, tokens: ctypes.Array[ctypes.c_int32], told: Options
    ) -> None:
        self._model = model
        self._execution = execution
        self._tokens = tokens
        self._computed = 0
        """How many of them, the prompt or then its last token, have been computed."""
        self._stops = told.stops
        self._ignore_eos = told.ignore_eos
        self._usage = Usage(len(tokens), 0)
        most = model.limits.max_tokens
        self._most = min(most, told.n_predict) if told.n_predict >= 0 else most
        self._room = min(model.limit, told.ctx_size or model.limit) - len(tokens)
        if self._room < 1:
            raise PromptTooLong(f"the prompt has {len(tokens)} tokens", cause=f"ctx-size is {told.ctx_size}")
        self._held = b""
        """Text that may be the beginning of a stop."""
        self._context: Context | None = model.free.pop()
        self._sampler = _sampler(model, told)

    @property
    def ended(self) -> bool:
        """Whether there are no more steps."""
        return self._context is None

    def step(self) -> Sequence[Array]:
        """Add one token to the text; while a long prompt is read, none, so that other texts have their turn.

        Raises EndOfSequence, ContextFull, RuntimeFailed.
        """
        if self._context is None:
            raise self._why_ended()
        if self._usage.output_tokens >= self._most:
            return self._end("length")
        if self._room < 1:
            return self._end("context")
        self._compute(self._context)
        if self._computed < len(self._tokens):
            return self._outputs(b"")
        token = self._model.library.llama_sampler_sample(self._sampler, self._context.pointer, -1)
        if not self._ignore_eos and self._model.library.llama_vocab_is_eog(self._model.vocabulary, token):
            return self._end("stop")
        self._tokens, self._computed = (ctypes.c_int32 * 1)(token), 0
        self._usage.output_tokens += 1
        self._room -= 1
        return self._told(self._model.piece(token))

    def close(self) -> None:
        """Give the context back."""
        context, self._context = self._context, None
        if context is not None:
            self._model.library.llama_sampler_free(self._sampler)
            context.clear(overwrite=True)
            self._model.free.append(context)

    def _compute(self, context: Context) -> None:
        """Compute some tokens. Raises RuntimeFailed; after an abort it may be done again."""
        if self._computed == 0 and self._usage.output_tokens == 0:
            context.clear(overwrite=False)
        context.abort(False)
        self._execution.running = context
        try:
            count, status = context.decode(self._tokens, self._computed)
        finally:
            self._execution.running = None
        if status:
            said = self._model.words.take() or f"its status is {status}"
            raise RuntimeFailed(
                "llama.cpp could not compute the next token",
                cause="it was aborted" if status == _ABORTED else said,
            )
        self._computed += count

    def _told(self, piece: bytes) -> Sequence[Array]:
        """What may be told of the text now that a piece has come."""
        text = self._held + piece
        found = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        if found >= 0:
            self._held = text[:found]
            return self._end("stop")
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return self._outputs(text[: len(text) - kept])

    def _end(self, finish: str) -> Sequence[Array]:
        self._usage.finish = finish
        self.close()
        text, self._held = self._held, b""
        return self._outputs(text)

    def _outputs(self, text: bytes) -> Sequence[Array]:
        usage = msgspec.json.encode(self._usage)
        return [np.frombuffer(text, np.uint8), np.frombuffer(usage, np.uint8)]

    def _why_ended(self) -> EndOfSequence | ContextFull:
        if self._usage.finish == "context":
            return ContextFull(
                f"the prompt and its answer have {self._model.limit} tokens, which is all there may be",
                remedy="begin anew with a shorter prompt, or raise the model's generation.context",
            )
        return EndOfSequence("the text has ended")


def _overlap(text: bytes, stop: bytes) -> int:
    """How many of the last bytes of `text` may be the beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)


def _sampler(model: GgmlModel, told: Options) -> int:
    library = model.library
    chain: int = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
    penalties = told.repeat_penalty, told.frequency_penalty, told.presence_penalty
    if told.last_n_penalty and penalties != (1.0, 0.0, 0.0):
        words = library.llama_vocab_n_tokens(model.vocabulary)
        added = [library.llama_sampler_init_penalties(words, told.last_n_penalty, *penalties)]
    else:
        added = []
    if told.temp <= 0:
        added.append(library.llama_sampler_init_greedy())
    else:
        seed = told.seed if told.seed >= 0 else secrets.randbits(32)
        added += [
            library.llama_sampler_init_top_k(told.top_k),
            library.llama_sampler_init_top_p(told.top_p, 1),
            library.llama_sampler_init_min_p(told.min_p, 1),
            library.llama_sampler_init_temp(told.temp),
            library.llama_sampler_init_dist(seed),
        ]
    for each in added:
        library.llama_sampler_chain_add(chain, each)
    return chain
