"""What a guest may choose for one text, by WasmEdge's names, in JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from wasmind.errors import InvalidArgument

MAX_STOPS = 16
MAX_STOP = 256
"""Bytes of a text that ends an answer."""

_NAMES = {
    "temperature": "temp",
    "max-tokens": "n-predict",
    "reverse-prompt": "stop",
}
"""Other names of the same: the field's, and WasmEdge's `reverse-prompt`."""

_WITHOUT_EFFECT = frozenset(
    """
    always-regenerate-image-embd batch-size cache-type-k cache-type-v check-tensors cont-batching cpu-moe
    ctx-shift display-prompt embedding enable-debug-log enable-log escape flash-attn image log-prefill
    main-gpu mask-valid mmproj model-alias n-chunks n-gpu-layers n-keep n-parallel n-prev n-print n-probs
    n-sequences no-kv-offload no-perf numa poll priority split-mode stream stream-stdout strict-cpu
    tensor-split threads threads-batch tts ubatch-size use-mlock use-mmap verbose-prompt verbosity warmup
    """.split()  # noqa: SIM905 - a list of one name a line would hide what is said
)
"""Options of WasmEdge's that are the operator's to choose here, or have no meaning."""

_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Penalty = Annotated[float, msgspec.Meta(ge=-100.0, le=100.0)]
_Count = Annotated[int, msgspec.Meta(ge=-1, le=1 << 31)]


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody said in a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Options(msgspec.Struct, frozen=True, rename="kebab"):
    """How one text is made."""

    n_predict: _Count = -1
    """Tokens at most; -1: as many as the operator allows."""
    ctx_size: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] = 0
    """Tokens of prompt and answer together, if they shall be fewer than the operator allows; 0: no fewer."""
    temp: Annotated[float, msgspec.Meta(ge=-1.0, le=100.0)] = 0.8
    """0 takes the likeliest token each time."""
    top_k: Annotated[int, msgspec.Meta(ge=-1, le=1 << 31)] = 40
    top_p: _Share = 0.95
    min_p: _Share = 0.05
    seed: Annotated[int, msgspec.Meta(ge=-1, le=(1 << 32) - 1)] = -1
    """The same seed gives the same text; -1: another one each time."""
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0.0, le=100.0)] = 1.0
    presence_penalty: _Penalty = 0.0
    frequency_penalty: _Penalty = 0.0
    last_n_penalty: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 64
    """The tokens that the penalties look back at."""
    ignore_eos: bool = False
    stop: str | tuple[str, ...] = ()
    """Texts that end the answer, and are not part of it."""
    chat: bool = False
    """The prompt is what a user says: it is put into the model's own form of a conversation."""
    system: str = ""
    """What the conversation begins with."""
    history: Annotated[tuple[Turn, ...], msgspec.Meta(max_length=1024)] = ()
    """What was said before."""

    @property
    def stops(self) -> tuple[bytes, ...]:
        """The texts that end the answer."""
        texts = (self.stop,) if isinstance(self.stop, str) else self.stop
        return tuple(text.encode() for text in texts if text)


def read(*texts: bytes) -> Options:
    """Options from JSON objects, of which later ones win; an empty text says nothing. Raises
    InvalidArgument.
    """
    told: dict[str, Any] = {}
    for text in texts:
        if not text.strip(b"\0 \t\r\n"):
            continue
        try:
            told |= msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidArgument(
                "the options are no JSON object",
                cause=str(error),
                remedy='give an object, such as {"n-predict": 64, "temp": 0}',
            ) from error
    named = {_named(name): value for name, value in told.items()}
    unknown = sorted(named.keys() - _KNOWN - _WITHOUT_EFFECT)
    if unknown:
        raise InvalidArgument(
            f"there is no option {unknown[0][:80]!r}", remedy=f"the options are {', '.join(sorted(_KNOWN))}"
        )
    try:
        options = msgspec.convert(named, Options)
    except msgspec.ValidationError as error:
        raise InvalidArgument("an option has a value that it cannot have", cause=str(error)) from error
    if len(options.stops) > MAX_STOPS or any(len(stop) > MAX_STOP for stop in options.stops):
        raise InvalidArgument(
            "too many or too long texts in `stop`", cause=f"{MAX_STOPS} of {MAX_STOP} bytes are allowed"
        )
    return options


def _named(name: str) -> str:
    plain = name.replace("_", "-")
    return _NAMES.get(plain, plain)


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(Options))
