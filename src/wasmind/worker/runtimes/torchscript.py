"""What a TorchScript model takes and gives.

Its file has the program, and the names of what the program takes; element types and shapes it has not. They
are declared by the operator, or by whoever exported the model, in the file's extra entry `signature.json`;
else tensors are taken to be f32 of any shape. Where outputs are not declared, a run with made-up inputs
tells.
"""

from __future__ import annotations

import encodings.cp437  # noqa: F401 - zipfile asks for it when no more modules can be read
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from wasmind.catalog.declared import declared_signature
from wasmind.config import DeclaredSignature
from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.warm import made_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmind.worker.runtimes.base import Array

EXTRA = "signature.json"
MAX_EXTRA = 1 << 20
"""Bytes that the extra entry may have."""

_SIZES = (1, 16, 128)
_SCALARS = {"int": TensorType.I64, "float": TensorType.F64, "bool": TensorType.BOOL}


def taken(module: torch.jit.ScriptModule) -> list[tuple[str, str]]:
    """Name and kind (`Tensor`, or of number) of what `forward` must be given. Raises ModelLoadFailed."""
    found = []
    for argument in module.forward.schema.arguments[1:]:
        kind = str(argument.type)
        if argument.has_default_value() and kind != "Tensor":
            continue
        if kind != "Tensor" and kind not in _SCALARS:
            raise ModelLoadFailed(
                f"the model takes a {kind} as {argument.name!r}, which no wasi-nn tensor can be",
                remedy="export it with a forward() that takes tensors and numbers only",
            )
        found.append((argument.name, kind))
    if not found:
        raise ModelLoadFailed("the model's forward() takes nothing", remedy="export it with inputs")
    return found


def embedded(path: str) -> Signature | None:
    """The signature that the file itself declares. Raises ModelLoadFailed, ConfigError."""
    with zipfile.ZipFile(path) as archive:
        entry = next((one for one in archive.infolist() if one.filename.endswith(f"/extra/{EXTRA}")), None)
        if entry is None:
            return None
        with archive.open(entry) as file:
            data = file.read(MAX_EXTRA)  # of a longer one the rest is missing, so it is no JSON
    try:
        return declared_signature(msgspec.json.decode(data, type=DeclaredSignature))
    except ValueError as error:
        raise ModelLoadFailed(
            f"the file's extra entry {EXTRA} is no signature",
            cause=str(error),
            remedy='write it as {"inputs": [{"name": "x", "type": "f32", "dims": ["N", 3]}]}',
        ) from error


def complete(
    module: torch.jit.ScriptModule,
    arguments: Sequence[tuple[str, str]],
    declared: Signature | None,
    run: Callable[[Sequence[Array]], list[tuple[str, torch.Tensor]]],
) -> Signature:
    """The signature, from what is declared and what the program says. Raises ModelLoadFailed."""
    if declared is None:
        outputs = module.forward.schema.returns[0].type
        names = [f"output_{index}" for index in range(_tensors(outputs, arguments))]
        return Signature(
            tuple(_assumed(name, kind) for name, kind in arguments),
            tuple(TensorSpec(name, TensorType.F32, None) for name in names),
        )
    if len(declared.inputs) != len(arguments):
        raise ModelLoadFailed(
            f"the declared signature has {len(declared.inputs)} inputs, and the model takes {len(arguments)}",
            cause=f"they are {', '.join(f'{name}: {kind}' for name, kind in arguments)}",
            remedy="declare each, in this order",
        )
    if declared.outputs:
        return declared
    return Signature(declared.inputs, _probed(declared, run))


def _assumed(name: str, kind: str) -> TensorSpec:
    return (
        TensorSpec(name, TensorType.F32, None) if kind == "Tensor" else TensorSpec(name, _SCALARS[kind], ())
    )


def _tensors(kind: Any, arguments: Sequence[tuple[str, str]]) -> int:
    """How many tensors a result consists of, where its type tells. Raises ModelLoadFailed."""
    if kind.kind() == "TensorType":
        return 1
    if kind.kind() == "TupleType":
        return sum(_tensors(element, arguments) for element in kind.elements())
    example = ", ".join(f'{{ name = "{name}", type = "f32", dims = ["N", 3] }}' for name, _ in arguments)
    raise ModelLoadFailed(
        f"the model returns a {kind}, which does not tell how many tensors there are",
        remedy=f"declare its signature in the configuration: [models.NAME.signature] inputs = [{example}]",
    )


def _probed(
    declared: Signature, run: Callable[[Sequence[Array]], list[tuple[str, torch.Tensor]]]
) -> tuple[TensorSpec, ...]:
    """The outputs, as runs with one and with two rows show them."""
    why = ""
    for size in _SIZES:
        try:
            one = run(made_up(declared, size, seed=0, rows=1))
            two = run(made_up(declared, size, seed=0, rows=2))
        except Exception as error:  # noqa: BLE001 - a guess at shapes may be wrong in any way
            why = why or str(error)
            continue
        return tuple(
            TensorSpec(name, _type_of(name, first), _dims(declared, first, second))
            for (name, first), (_, second) in zip(one, two, strict=True)
        )
    raise ModelLoadFailed(
        "no run with made-up inputs told what the model gives",
        cause=why[:2000],
        remedy="declare its outputs too: [models.NAME.signature] outputs = "
        '[{ name = "y", type = "f32", dims = ["N", 10] }]',
    )


def _dims(declared: Signature, one: torch.Tensor, two: torch.Tensor) -> tuple[Dim, ...] | None:
    """Dimensions of an output, where it is only the inputs' first that is open."""
    first = {spec.dims[0] for spec in declared.inputs if spec.dims}
    rest = [dim for spec in declared.inputs for dim in (spec.dims or (None, None))[1:]]
    if any(not isinstance(dim, int) for dim in rest) or one.dim() != two.dim():
        return tuple([None] * one.dim()) if one.dim() == two.dim() else None
    name = next(iter(first)) if len(first) == 1 else None
    pairs = zip(one.shape, two.shape, strict=True)
    return tuple(a if a == b else name if (a, b) == (1, 2) else None for a, b in pairs)


_NAMES = {
    torch.float16: TensorType.F16,
    torch.float32: TensorType.F32,
    torch.float64: TensorType.F64,
    torch.bfloat16: TensorType.BF16,
    torch.uint8: TensorType.U8,
    torch.int32: TensorType.I32,
    torch.int64: TensorType.I64,
    torch.bool: TensorType.BOOL,
    torch.int8: TensorType.I8,
    torch.int16: TensorType.I16,
    torch.uint16: TensorType.U16,
    torch.uint32: TensorType.U32,
    torch.uint64: TensorType.U64,
}


def type_of(tensor: torch.Tensor) -> TensorType | None:
    """The element type, where a wasi-nn tensor can have it."""
    return _NAMES.get(tensor.dtype)


def _type_of(name: str, tensor: torch.Tensor) -> TensorType:
    kind = type_of(tensor)
    if kind is None:
        raise ModelLoadFailed(
            f"the output {name!r} is a tensor of {tensor.dtype}, which no wasi-nn tensor can hold",
            remedy="export the model with numeric tensors only",
        )
    return kind
