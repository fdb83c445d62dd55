"""A tensor held against what the model declares, in Python integers, before anything is allocated or copied.

A refusal says what was expected, what came, and what would make it fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from wasmind.errors import InvalidTensor
from wasmind.nn.hints import HEAD, Came, hint
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import MAX_RANK, Buffer, Tensor, TensorType

CARRIERS: dict[TensorType, TensorType] = {
    TensorType.BOOL: TensorType.U8,
    TensorType.I8: TensorType.U8,
    TensorType.I16: TensorType.F16,
    TensorType.U16: TensorType.F16,
    TensorType.BF16: TensorType.F16,
    TensorType.U32: TensorType.I32,
    TensorType.U64: TensorType.I64,
}
"""Types that an ABI of wasi-nn cannot name, each with the type of the same width that carries its bits
instead.
"""


def check_rank(rank: int) -> None:
    """Refuse a rank before its dimensions are read. Raises InvalidTensor."""
    if rank > MAX_RANK:
        raise InvalidTensor(
            f"a tensor of rank {rank}",
            cause=f"tensors here have at most {MAX_RANK} dimensions",
            remedy="dims_len counts dimensions, not bytes or elements",
        )


def check(
    spec: TensorSpec, type_: TensorType, dims: Sequence[int], length: int, data: Buffer | None = None
) -> None:
    """Hold one input against `spec`: type, rank, fixed dimensions, `length` in bytes.

    Symbolic dimensions take any size here; `check_symbols` compares them. `data`, where it is at hand, is
    looked at only to explain what does not fit. Raises InvalidTensor.
    """
    expected = spec.dims
    if (
        (type_ is not spec.type and CARRIERS.get(spec.type) is not type_)
        or not (fits(expected, dims) if expected is not None else _plain(dims))
        or prod(dims) * type_.size != length
    ):
        raise _refusal(spec, Came(type_, tuple(dims), length, bytes(data[:HEAD]) if data else b""))


def fits(expected: Sequence[int | str | None], dims: Sequence[int]) -> bool:
    """Whether dimensions agree with declared ones; a 0 does only where the model declares it."""
    if len(expected) != len(dims):
        return False
    for want, got in zip(expected, dims, strict=True):
        if want != got and (want.__class__ is int or got <= 0):
            return False
    return True


def check_bools(spec: TensorSpec, data: Buffer) -> None:
    """Refuse bytes that are no booleans: native code may index by them. Raises InvalidTensor."""
    if spec.type is TensorType.BOOL and bytes(data).translate(None, b"\0\1"):
        raise InvalidTensor(
            f'input "{spec.name}": a bool is a byte of 0 or 1, and another value came',
            remedy="write 0 for false and 1 for true, one byte each",
        )


def check_symbols(signature: Signature, tensors: Sequence[Tensor]) -> None:
    """Hold all inputs against each other: one symbol is one size. Raises InvalidTensor."""
    sizes: dict[str, tuple[int, str]] = {}
    for spec, tensor in zip(signature.inputs, tensors, strict=True):
        for want, got in zip(spec.dims or (), tensor.dims, strict=False):
            if isinstance(want, str):
                size, where = sizes.setdefault(want, (got, spec.name))
                if size != got:
                    raise InvalidTensor(
                        f'the dimension {want} is {size} in input "{where}" and {got} in input "{spec.name}"',
                        cause=f'the model declares {spec} for "{spec.name}"; one symbol stands for one size',
                        remedy=f"give both inputs the same {want}",
                    )


def _plain(dims: Sequence[int]) -> bool:
    return len(dims) <= MAX_RANK and all(dim > 0 for dim in dims)


def _refusal(spec: TensorSpec, came: Came) -> InvalidTensor:
    message = f'input "{spec.name}": expected {spec}, got {came}'
    found = hint(spec, came)
    return InvalidTensor(message, cause=found.cause, remedy=found.remedy)
