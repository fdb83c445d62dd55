"""Why a tensor does not fit its input, guessed from what usually goes wrong, and what would make it fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import permutations
from math import prod
from typing import NamedTuple, TypeAlias

from wasmind.nn.files import looks_like
from wasmind.nn.signature import Dim, TensorSpec
from wasmind.nn.tensor import TensorType, describe

_FLOATS = frozenset((TensorType.F16, TensorType.F32, TensorType.F64, TensorType.BF16))
_NUMBERS = "the core ABI numbers them f16 0, f32 1, f64 2, u8 3, i32 4, i64 5; WIT numbers them otherwise"

HEAD = 64
"""Bytes of a tensor that are looked at to guess what it is."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)

Guess: TypeAlias = Callable[[TensorSpec, "Came"], "Hint | None"]


class Came(NamedTuple):
    """A tensor as a guest described it."""

    type: TensorType
    dims: tuple[int, ...]
    length: int
    head: bytes = b""
    """Its first bytes, where they are at hand."""

    @property
    def elements(self) -> int:
        """How many elements the dimensions make."""
        return prod(self.dims)

    def __str__(self) -> str:
        shape = (
            describe(self.type, self.dims[:8])
            if len(self.dims) <= 8
            else f"{self.type} of rank {len(self.dims)}"
        )
        return f"{shape} in {self.length} bytes"


class Hint(NamedTuple):
    """A guess."""

    cause: str
    remedy: str
    steps: tuple[str, ...] = ()
    """The conversion that would do it, if one could."""


def hint(spec: TensorSpec, came: Came) -> Hint:
    """What explains the difference between what is declared and what came: of its type, its shape, else its
    length.
    """
    whole = _first(_WHOLE_GUESSES, spec, came)
    if whole is not None:
        return whole
    found = [hint for hint in (_first(_TYPE_GUESSES, spec, came), _first(_SHAPE_GUESSES, spec, came)) if hint]
    if not found:
        found = [_length(spec, came) or Hint("it does not fit the model's declaration", f"send {spec}")]
    remedy = "; ".join(hint.remedy for hint in found)
    if all(hint.steps for hint in found):
        steps = tuple(step for hint in found for step in hint.steps)
        remedy += f"; or declare {_declaration(spec, *steps)}"
    return Hint("; also, ".join(hint.cause for hint in found), remedy)


def _first(guesses: tuple[Guess, ...], spec: TensorSpec, came: Came) -> Hint | None:
    return next((found for guess in guesses if (found := guess(spec, came)) is not None), None)


def _declaration(spec: TensorSpec, *steps: str) -> str:
    """What lets the node convert it."""
    name = spec.name if _BARE_KEY.match(spec.name) else '"' + spec.name.replace('"', '\\"') + '"'
    return f"convert = [{', '.join(steps)}] in [models.NAME.inputs.{name}]"


def _takes_bytes(spec: TensorSpec) -> bool:
    """Whether the node converts this input from a file or a text."""
    return spec.type is TensorType.U8 and spec.dims == (f"{spec.name}_bytes",)


def _for_conversion(spec: TensorSpec, came: Came) -> Hint | None:
    """The node converts the input, and the function has done it itself."""
    if not _takes_bytes(spec) or (came.type is TensorType.U8 and len(came.dims) == 1):
        return None
    return Hint(
        "the node converts this input from the bytes of a file or a text, as the model's configuration says",
        "send these bytes as they are, as u8 in one dimension, which is their number",
    )


def _file(spec: TensorSpec, came: Came) -> Hint | None:
    """A file where its contents were wanted."""
    found = looks_like(came.head)
    if found is None or came.type is not TensorType.U8 or _takes_bytes(spec):
        return None
    image = _declaration(spec, '"image"')
    return Hint(
        f"these bytes are {found} as it is in its file, and the model takes decoded pixels",
        f"declare {image}, and send the file as u8 [{came.length}]; or decode it and send {spec}",
    )


def _text(spec: TensorSpec, came: Came) -> Hint | None:
    """Text where token ids were wanted."""
    if spec.type not in (TensorType.I32, TensorType.I64) or came.type is not TensorType.U8:
        return None
    if len(came.dims) != 1 or not _is_text(came.head):
        return None
    text = _declaration(spec, '{ text = { tokenizer = "tokenizer.json" } }')
    return Hint(
        "this looks like text, and the model takes token ids",
        f"declare {text}, and send the text as u8 [{came.length}]; or tokenize it",
    )


def _is_text(head: bytes) -> bool:
    text = head.decode(errors="ignore")  # the last letter may be cut off
    return len(text.encode()) > max(3, len(head) - 4) and text.replace("\n", " ").isprintable()


def _empty(spec: TensorSpec, came: Came) -> Hint | None:
    if 0 not in came.dims or (spec.dims is not None and 0 in spec.dims):
        return None
    return Hint("a dimension is 0, so the tensor is empty", "send at least one element in each dimension")


def _wrong_number(spec: TensorSpec, came: Came) -> Hint | None:
    """The type alone is wrong: the bytes have the right length for the type that is expected."""
    if (
        came.type is spec.type
        or came.length != came.elements * spec.type.size
        or came.type.size == spec.type.size
    ):
        return None
    return Hint(
        f"the bytes have the length of {spec.type} elements, so the type's number is probably wrong",
        f"give the number of {spec.type} as the type: {_NUMBERS}",
    )


def _wrong_type(spec: TensorSpec, came: Came) -> Hint | None:
    want, got = spec.type, came.type
    if want is got:
        return None
    if want in _FLOATS and got in (TensorType.U8, TensorType.I8):
        return Hint(
            f"these look like raw bytes (pixels, say), and the model takes {want}",
            f"convert each byte to {want}, scaled as the model was trained ((x - mean) / std, or x / 255)",
            (f'{{ cast = {{ type = "{got}", scale = …, offset = … }} }}',),
        )
    if want in (TensorType.U8, TensorType.I8) and got in _FLOATS:
        return Hint(
            f"the model takes {want} and scales by itself",
            f"send the raw values, one byte each: {came.elements} bytes",
        )
    if want in _FLOATS and got in _FLOATS:
        return Hint(
            f"the precision differs: {got} has {got.size} bytes each",
            f"convert each element to {want}",
            (f'{{ cast = "{got}" }}',),
        )
    return Hint(
        f"the model takes {want}, not {got}",
        f"convert each element to {want} ({want.size} bytes)",
        (f'{{ cast = "{got}" }}',),
    )


def _layout(spec: TensorSpec, came: Came) -> Hint | None:
    """Channels last for a model with channels first, or the other way round, batch dimension there or not."""
    want = spec.dims
    if want is None or len(want) not in (3, 4) or _agrees(want, came.dims):
        return None
    batch = len(want) - 3
    for dims, missing in ((came.dims, False), ((1, *came.dims), True)):
        if len(dims) != len(want):
            continue
        n, (a, b, c) = dims[:batch], dims[batch:]
        last, first = ("NHWC", "an NCHW") if batch else ("HWC", "a CHW")
        for moved, looks, model, how in (
            ((c, a, b), last, first, "move the channels before height and width"),
            ((b, c, a), first.split()[1], f"an {last}", "move the channels behind height and width"),
        ):
            if _agrees(want, (*n, *moved)):
                without = ", and the batch dimension is missing" if missing else ""
                name = looks.removeprefix("N") if missing else looks
                layout = f'{{ layout = "{name}" }}'
                return Hint(
                    f"this looks like {looks} for {model} model{without}",
                    f"{how} and send {_shape((*n, *moved))}",
                    (layout, '"add_batch"') if missing else (layout,),
                )
    return None


def _batch(spec: TensorSpec, came: Came) -> Hint | None:
    want = spec.dims
    if want is None:
        return None
    if len(want) == len(came.dims) + 1 and _agrees(want, (1, *came.dims)):
        return Hint(
            "the batch dimension is missing",
            f"send {_shape((1, *came.dims))}; the bytes stay the same",
            ('"add_batch"',),
        )
    if len(want) + 1 == len(came.dims) and came.dims[0] == 1 and _agrees(want, came.dims[1:]):
        return Hint(
            "there is one dimension too many in front",
            f"send {_shape(came.dims[1:])}; the bytes stay the same",
            ('"drop_batch"',),
        )
    return None


def _flat(spec: TensorSpec, came: Came) -> Hint | None:
    want = _settled(spec.dims)
    if want is None or spec.dims is None or _agrees(spec.dims, came.dims) or prod(want) != came.elements:
        return None
    if sorted(want) == sorted(came.dims) and len(want) > 1:
        cause = "it looks transposed" if len(want) == 2 else "these are the right dimensions in another order"
        return Hint(cause, f"reorder the elements and send {_shape(want)}")
    return Hint("the number of elements is right, the dimensions are not", f"send {_shape(want)}")


def _reordered(spec: TensorSpec, came: Came) -> Hint | None:
    """A permutation of what is declared, where symbols leave more than one size possible."""
    want = spec.dims
    if want is None or len(want) != len(came.dims) or not 2 <= len(want) <= 5 or _agrees(want, came.dims):
        return None
    for dims in permutations(came.dims):
        if _agrees(want, dims):
            cause = (
                "it looks transposed" if len(want) == 2 else "these are the right dimensions in another order"
            )
            return Hint(cause, f"reorder the elements and send {_shape(dims)}")
    return None


def _shape_differs(spec: TensorSpec, came: Came) -> Hint | None:
    want = spec.dims
    if want is None or _agrees(want, came.dims):
        return None
    if len(want) != len(came.dims):
        return Hint(f"the model takes {len(want)} dimensions, and {len(came.dims)} came", f"send {spec}")
    at = next(i for i, dim in enumerate(want) if not _agrees((dim,), came.dims[i : i + 1]))
    return Hint(f"dimension {at} must be {want[at]}, and is {came.dims[at]}", f"resize the input to {spec}")


def _length(spec: TensorSpec, came: Came) -> Hint | None:
    need = came.elements * came.type.size
    if came.length == need:
        return None
    takes = f"{describe(came.type, came.dims[:8])} takes {need} bytes ({came.elements} * {came.type.size})"
    if abs(need - came.length) == 1:
        word = "short" if came.length < need else "long"
        return Hint(f"{takes}: the data is one byte {word}", "check the end of the buffer: off by one")
    if came.length == came.elements:
        return Hint(
            f"{takes}; {came.length} is the number of elements", "data_len counts bytes, not elements"
        )
    for other in (TensorType.F32, TensorType.F64, TensorType.F16, TensorType.U8):
        if other.size != came.type.size and came.length == came.elements * other.size:
            return Hint(
                f"{takes}; {came.length} bytes are what {other.size}-byte elements take",
                f"convert the elements to {came.type}",
            )
    if need and came.length % need == 0:
        return Hint(
            f"{takes}; {came.length // need} times as much came",
            "raise the batch dimension where the model leaves it open, or send one item at a time",
        )
    missing = need - came.length
    word = f"{missing} bytes are missing" if missing > 0 else f"{-missing} bytes are too many"
    return Hint(f"{takes}: {word}", f"send exactly {need} bytes")


_WHOLE_GUESSES: tuple[Guess, ...] = (_for_conversion, _file, _text)
_TYPE_GUESSES: tuple[Guess, ...] = (_wrong_number, _wrong_type)
_SHAPE_GUESSES: tuple[Guess, ...] = (_empty, _layout, _batch, _flat, _reordered, _shape_differs)


def _agrees(want: Sequence[Dim], dims: Sequence[int]) -> bool:
    return len(want) == len(dims) and all(
        got == fixed if isinstance(fixed, int) else got > 0 for fixed, got in zip(want, dims, strict=True)
    )


def _settled(dims: tuple[Dim, ...] | None) -> tuple[int, ...] | None:
    """The declared shape with an open first dimension taken as 1; None when others are open."""
    if not dims or any(not isinstance(dim, int) for dim in dims[1:]):
        return None
    first = dims[0] if isinstance(dims[0], int) else 1
    return (first, *(dim for dim in dims[1:] if isinstance(dim, int)))


def _shape(dims: Sequence[int]) -> str:
    return "[" + ",".join(map(str, dims)) + "]"
