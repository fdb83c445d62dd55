"""Language models in GGUF, on llama.cpp.

The graph has the inputs `prompt`, `options` and `config` and the outputs `text` and `usage`, all of bytes. An
inference is a generation: each has a context of llama.cpp to itself, with memory of its own, made when the
model is loaded. A chat template is looked up among those that llama.cpp knows; none is run as a program.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from wasmind.errors import (
    InvalidArgument,
    ModelLoadFailed,
    PromptTooLong,
)
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes import llama, options
from wasmind.worker.runtimes.devices import refuse
from wasmind.worker.runtimes.text import Text
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config import Target
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.runtimes.options import Options
    from wasmind.worker.spec import WorkerSpec

SIGNATURE = Signature(
    (
        TensorSpec("prompt", TensorType.U8, ("bytes",)),
        TensorSpec("options", TensorType.U8, (None,), optional=True),
        TensorSpec("config", TensorType.U8, (None,), optional=True),
    ),
    (TensorSpec("text", TensorType.U8, (None,)), TensorSpec("usage", TensorType.U8, (None,))),
    steps=True,
)
"""`config` is what `load_by_name_with_config` was given; `options` wins over it."""

TOKEN_BYTES = 64
"""A prompt has at most so many bytes for each token there may be: taking apart more than that would keep the
process busy for nothing.
"""
MAX_OPTIONS = 1 << 20
"""Bytes of the options."""

BATCH = 128
"""Tokens of a prompt that are read in one step. More would keep others waiting, and take more memory for each
context.
"""
_PIECE = 4096
_ALL_LAYERS = -1
_NO_VOCABULARY = 0


class Runtime:
    """llama.cpp, on the CPU or the GPU that its build is for. Nothing in it reports to anybody."""

    profile = Profile()

    def __init__(self) -> None:
        self._library = llama.library()
        self._words = llama.Words(self._library)
        self._library.llama_backend_init()
        self.name = f"llama.cpp {self._library.llama_version().decode()} ({llama.PACKAGE} {llama.VERSION})"

    def open_device(self, target: Target) -> str:
        """Look for a device that this build can leave layers to; the CPU's package has none."""
        if target != "gpu" or not self._library.llama_supports_gpu_offload():
            refuse(target, self.name, ("CPU",))
        return "its GPU"

    def load(self, spec: WorkerSpec) -> GgmlModel:
        """Load the model, with a context for each generation there may be. Raises ModelLoadFailed."""
        if spec.threads > 1 and spec.instances > 1:
            raise ModelLoadFailed(
                "a language model has either several instances or several threads",
                cause="llama.cpp makes its threads for the one thread that computes",
                remedy="set instances = 1 or threads = 1",
            )
        return GgmlModel(self._library, self._words, spec)


class GgmlModel:
    """A model and its contexts."""

    signature = SIGNATURE
    notes: tuple[str, ...] = ()

    def __init__(self, library: Any, words: llama.Words, spec: WorkerSpec) -> None:
        self.library = library
        self.limits = spec.generation
        self.words = words
        self._model = self._loaded(spec)
        self.vocabulary = library.llama_model_get_vocab(self._model)
        if library.llama_vocab_type(self.vocabulary) == _NO_VOCABULARY:
            raise ModelLoadFailed("the model has no vocabulary", remedy="bring a GGUF with its tokenizer")
        if library.llama_model_has_encoder(self._model) or not library.llama_model_has_decoder(self._model):
            raise ModelLoadFailed(
                "the model is no plain decoder",
                cause="models with an encoder, and those that only embed, are not served",
                remedy="bring a model that continues a text",
            )
        self.template = library.llama_model_chat_template(self._model, None)
        self.trained = library.llama_model_n_ctx_train(self._model)
        self.free = [Context(self, self._context(spec)) for _ in range(spec.generation.at_once)]
        self.limit = min(library.llama_n_ctx(self.free[0].pointer), spec.generation.context)
        if spec.warm_up:
            self._warm_up()

    def execution(self) -> GgmlExecution:
        """A new execution of it."""
        return GgmlExecution(self)

    def _loaded(self, spec: WorkerSpec) -> int:
        params = self.library.llama_model_default_params()
        params.n_gpu_layers = 0 if spec.target == "cpu" else _ALL_LAYERS
        params.load_mode = llama.MMAP
        params.check_tensors = True
        found: int | None = self.library.llama_model_load_from_file(spec.files[0].path.encode(), params)
        if not found:
            raise ModelLoadFailed(
                f"llama.cpp cannot load the model {spec.name!r}",
                cause=self.words.take(),
                remedy="fetch it again, or convert it anew with llama.cpp's convert_hf_to_gguf.py",
            )
        return found

    def _context(self, spec: WorkerSpec) -> int:
        params = self.library.llama_context_default_params()
        params.n_ctx = min(spec.generation.context, max(self.trained, 1))
        params.n_batch = params.n_ubatch = min(BATCH, params.n_ctx)
        params.n_outputs_max = 1
        params.n_threads = params.n_threads_batch = spec.threads
        found: int | None = self.library.llama_init_from_model(self._model, params)
        if not found:
            raise ModelLoadFailed(
                f"there is no memory for {spec.generation.at_once} contexts of {params.n_ctx} tokens",
                cause=self.words.take(),
                remedy="raise the model's `memory`, or lower generation.context or generation.at_once",
            )
        return found

    def _warm_up(self) -> None:
        """Compute once with all threads: none is made after this."""
        generation = GgmlExecution(self).begin([np.frombuffer(b"a", np.uint8)])
        try:
            generation.step()
        finally:
            generation.close()

    # --- text and tokens ----------------------------------------------------------------------------------

    def tokens(self, text: bytes) -> ctypes.Array[ctypes.c_int32]:
        """A text's tokens, control tokens as the text names them. Raises PromptTooLong."""
        text = text.decode("utf-8", "replace").encode()  # the library's tokenizers count on that
        if len(text) > TOKEN_BYTES * self.limit:
            raise self._too_long(f"the prompt has {len(text)} bytes")
        found = (ctypes.c_int32 * self.limit)()
        count = self.library.llama_tokenize(self.vocabulary, text, len(text), found, len(found), True, True)
        if count < 0 or count >= self.limit:
            raise self._too_long(f"the prompt has {abs(count)} tokens")
        part: ctypes.Array[ctypes.c_int32] = (ctypes.c_int32 * count).from_buffer(found)
        return part

    def _too_long(self, message: str) -> PromptTooLong:
        return PromptTooLong(
            message,
            cause=f"a prompt and its answer may have {self.limit} tokens together",
            remedy="send a shorter prompt, or raise the model's generation.context",
        )

    def piece(self, token: int) -> bytes:
        """What a token adds to the text: bytes, of which several tokens may make one letter."""
        buffer = ctypes.create_string_buffer(_PIECE)
        length = self.library.llama_token_to_piece(self.vocabulary, token, buffer, _PIECE, 0, False)
        return buffer.raw[: max(0, length)]

    def conversation(self, prompt: bytes, told: Options) -> bytes:
        """A user's words in the model's own form of a conversation. Raises InvalidArgument."""
        turns = [("system", told.system.encode())] if told.system else []
        turns += [(turn.role, turn.content.encode()) for turn in told.history]
        turns.append(("user", prompt))
        messages = (llama.Message * len(turns))()
        for message, (role, said) in zip(messages, turns, strict=True):
            message.role, message.content = role.encode(), said
        room = 2 * sum(len(said) + 64 for _, said in turns) + 1024
        buffer = ctypes.create_string_buffer(room)
        length = self.library.llama_chat_apply_template(
            self.template, messages, len(turns), True, buffer, room
        )
        if self.template is None or not 0 <= length <= room:
            raise InvalidArgument(
                "the model's form of a conversation is not known",
                cause="it brings none, or one that llama.cpp does not know; templates are never run",
                remedy="write the prompt in the model's form, and leave `chat` out",
            )
        return buffer.raw[:length]


class Context:
    """Memory for one generation at a time, used by one after the other."""

    def __init__(self, model: GgmlModel, pointer: int) -> None:
        self.pointer = pointer
        self._library = model.library
        # Asked between two operations: whether there is something other than an end in this text. A function
        # of the C library answers it, since one in Python would wait for the interpreter's lock each time.
        self._flag = ctypes.create_string_buffer(2)
        self._library.llama_set_abort_callback(
            pointer, ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p), ctypes.addressof(self._flag)
        )

    def abort(self, wanted: bool) -> None:
        """Let the computation under way end, or the next one run."""
        self._flag[0] = b"\1" if wanted else b"\0"

    def clear(self, *, overwrite: bool) -> None:
        """Forget what was computed. It is overwritten as well before the next may be another tenant's."""
        self._library.llama_memory_clear(self._library.llama_get_memory(self.pointer), overwrite)

    def decode(self, tokens: ctypes.Array[ctypes.c_int32], start: int) -> tuple[int, int]:
        """Compute what follows after a batch of these. Returns how many it were, and llama.cpp's status: 0 is
        done.
        """
        count = min(BATCH, len(tokens) - start)
        part = (ctypes.c_int32 * count).from_buffer(tokens, ctypes.sizeof(ctypes.c_int32) * start)
        batch = self._library.llama_batch_get_one(part, count)
        return count, self._library.llama_decode(self.pointer, batch)


class GgmlExecution:
    """One thread's way to begin generations, and the one it runs now."""

    def __init__(self, model: GgmlModel) -> None:
        self._model = model
        self.running: Context | None = None
        """Where the step under way computes."""

    def begin(self, inputs: Sequence[Array]) -> Text:
        """Read the inputs and take a context. Raises InvalidArgument, PromptTooLong."""
        prompt, *others = (array.tobytes() for array in inputs)
        if any(len(other) > MAX_OPTIONS for other in others):
            raise InvalidArgument(f"the options have more than {MAX_OPTIONS} bytes")
        told = options.read(*reversed(others))
        model = self._model
        tokens = model.tokens(model.conversation(prompt, told) if told.chat else prompt)
        if not len(tokens):
            raise InvalidArgument("the prompt is empty", remedy="give a text to continue")
        return Text(model, self, tokens, told)

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Generate a whole text."""
        generation = self.begin(inputs)
        parts = []
        try:
            while not generation.ended:
                text, usage = generation.step()
                parts.append(text)
        finally:
            generation.close()
        return [np.concatenate(parts), usage]

    def abort(self) -> bool:
        """End the computation under way: llama.cpp looks between two operations."""
        running = self.running
        if running is None:
            return False
        running.abort(True)
        return True
