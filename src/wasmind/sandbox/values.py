"""The types of the values that cross between a guest and its host, and how they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Annotated, TypeAlias

from wasmind.sandbox import ffi


class Kind(Enum):
    """A WebAssembly number type."""

    I32 = "i32"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"

    def __str__(self) -> str:
        return self.value

    @property
    def number(self) -> int:
        """Its number in Wasmtime's C API (`wasmtime_valkind_t`)."""
        return _KINDS.index(self)

    @property
    def byte(self) -> int:
        """Its byte in a module."""
        return 0x7F - _KINDS.index(self)


_KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A host type: the guest's type and how Python reads its bits (`code` is struct's letter)."""

    name: str
    kind: Kind
    code: str


_SCALARS = {
    scalar.name: scalar
    for scalar in (
        Scalar("U32", Kind.I32, "I"),
        Scalar("S32", Kind.I32, "i"),
        Scalar("U64", Kind.I64, "Q"),
        Scalar("S64", Kind.I64, "q"),
        Scalar("F32", Kind.F32, "f"),
        Scalar("F64", Kind.F64, "d"),
    )
}

U32: TypeAlias = Annotated[int, _SCALARS["U32"]]
"""An i32 as an unsigned integer: pointers, lengths, handles."""
S32: TypeAlias = Annotated[int, _SCALARS["S32"]]
"""An i32 as a signed integer."""
U64: TypeAlias = Annotated[int, _SCALARS["U64"]]
"""An i64 as an unsigned integer."""
S64: TypeAlias = Annotated[int, _SCALARS["S64"]]
"""An i64 as a signed integer."""
F32: TypeAlias = Annotated[float, _SCALARS["F32"]]
"""An f32."""
F64: TypeAlias = Annotated[float, _SCALARS["F64"]]
"""An f64."""


def scalar(annotation: object) -> Scalar | None:
    """The host type that an annotation names; None for `None`.

    Annotations are read by their names (`U32`, `sandbox.U32`, `U32 | Awaitable[U32]`), so that a module may
    import the types for its checker alone. Raises TypeError.
    """
    for found in getattr(annotation, "__metadata__", ()):
        if isinstance(found, Scalar):
            return found
    text = annotation if isinstance(annotation, str) else "None" if annotation in (None, type(None)) else ""
    for part in text.replace("Awaitable[", "").replace("]", "").split("|"):
        name = part.strip().rpartition(".")[2]
        if name in _SCALARS:
            return _SCALARS[name]
        if name == "None":
            return None
    raise TypeError(
        f"{annotation!r} is no type of a host function: use one of {', '.join(_SCALARS)}, or None"
    )


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's type as a module states it."""

    parameters: tuple[Kind, ...] = ()
    results: tuple[Kind, ...] = ()

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parameters))}) -> ({', '.join(map(str, self.results))})"


def raw_layout(scalars: tuple[Scalar, ...]) -> Struct:
    """How `wasmtime_val_raw_t` values follow each other."""
    return Struct("<" + "".join(_cell(s, ffi.RAW_SIZE) for s in scalars))


def checked_layout(scalars: tuple[Scalar, ...]) -> Struct:
    """How `wasmtime_val_t` values follow each other; their kind bytes are skipped."""
    return Struct(
        "<" + "".join(f"{ffi.VAL_OFFSET}x" + _cell(s, ffi.VAL_SIZE - ffi.VAL_OFFSET) for s in scalars)
    )


def _cell(scalar: Scalar, size: int) -> str:
    used = 4 if scalar.kind in (Kind.I32, Kind.F32) else 8
    return f"{scalar.code}{size - used}x"
