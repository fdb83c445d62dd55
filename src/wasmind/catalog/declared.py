"""A signature that the operator, or the model's file, declares."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from wasmind.errors import ConfigError
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import MAX_RANK, TensorType

if TYPE_CHECKING:
    from wasmind.config import DeclaredSignature, DeclaredTensor, Encoding, Model

_TYPES: dict[str, TensorType] = {str(kind): kind for kind in TensorType}


def declared_signature(declared: DeclaredSignature) -> Signature:
    """What is declared, as models have it. Raises ConfigError."""
    for kind, tensors in (("input", declared.inputs), ("output", declared.outputs)):
        names = [tensor.name for tensor in tensors]
        if len(set(names)) < len(names):
            raise ConfigError(f"two {kind}s of a signature have the same name", cause=f"they are {names}")
    if not declared.inputs:
        raise ConfigError("a signature declares no inputs")
    return Signature(tuple(map(_spec, declared.inputs)), tuple(map(_spec, declared.outputs)))


def check(model: Model, encoding: Encoding) -> None:
    """Whether a model may declare what it does. Raises ConfigError."""
    if model.signature is None:
        return
    if encoding != "pytorch":
        raise ConfigError(
            "`signature` is for TorchScript",
            cause=f"a model in {encoding} says itself what it takes and gives",
            remedy="leave it out",
        )
    declared_signature(model.signature)


def version(digest: str, model: Model) -> str:
    """A model's version: that of its files, and of what is declared of it."""
    if model.signature is None:
        return digest
    return hashlib.sha256(digest.encode() + msgspec.json.encode(model.signature)).hexdigest()


def _spec(tensor: DeclaredTensor) -> TensorSpec:
    dims = tensor.dims
    if dims is not None and (
        len(dims) > MAX_RANK or any(isinstance(dim, int) and not 0 <= dim < 1 << 40 for dim in dims)
    ):
        raise ConfigError(
            f"the dimensions of {tensor.name!r} cannot be",
            cause=f"they are {dims}; there are at most {MAX_RANK}, and none is negative",
            remedy='give an open dimension a name, such as "N"',
        )
    return TensorSpec(tensor.name, _TYPES[tensor.type], None if dims is None else tuple(dims))
