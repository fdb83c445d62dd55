"""The protocol's datatypes and ours (Open Inference Protocol v2, "Tensor Data Types").

BYTES has no fixed element size and no wasi-nn type, so it is not among them.
"""

from __future__ import annotations

from wasmind.errors import RuntimeFailed
from wasmind.nn.tensor import TensorType

DATATYPES: dict[TensorType, str] = {
    TensorType.BOOL: "BOOL",
    TensorType.U8: "UINT8",
    TensorType.U16: "UINT16",
    TensorType.U32: "UINT32",
    TensorType.U64: "UINT64",
    TensorType.I8: "INT8",
    TensorType.I16: "INT16",
    TensorType.I32: "INT32",
    TensorType.I64: "INT64",
    TensorType.F16: "FP16",
    TensorType.BF16: "BF16",
    TensorType.F32: "FP32",
    TensorType.F64: "FP64",
}
TYPES: dict[str, TensorType] = {name: type_ for type_, name in DATATYPES.items()}

RAW_ONLY = frozenset({TensorType.F16, TensorType.BF16})
"""The protocol gives these no JSON and no typed gRPC form: they travel as raw bytes only."""


def type_of(datatype: str) -> TensorType:
    """The tensor type of a datatype's name. Raises RuntimeFailed for one that wasi-nn has no form for."""
    try:
        return TYPES[datatype]
    except KeyError:
        raise RuntimeFailed(
            f"the server speaks of datatype {datatype[:40]!r}",
            cause="wasi-nn has no tensor type for it",
            remedy=f"give the model inputs and outputs among {', '.join(TYPES)}",
        ) from None
