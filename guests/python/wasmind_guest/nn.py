"""Models by name: `nn.load("classifier")(image=pixels)["probabilities"]`.

The world that a component is built for must have wasi:nn; `wasmind build` sees to it where the function's
configuration grants it a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from componentize_py_types import Err
from wit_world.imports import graph as _graph
from wit_world.imports import tensor as _tensor

from wasmind_guest.tensor import Tensor, tensor

__all__ = [
    "Error",
    "InvalidArgument",
    "InvalidEncoding",
    "Model",
    "NotFound",
    "RuntimeFailed",
    "SecurityError",
    "Tensor",
    "Timeout",
    "TooLarge",
    "UnknownError",
    "UnsupportedOperation",
    "load",
    "tensor",
]

_TYPES = {
    "f16": _tensor.TensorType.FP16,
    "f32": _tensor.TensorType.FP32,
    "f64": _tensor.TensorType.FP64,
    "bf16": _tensor.TensorType.BF16,
    "u8": _tensor.TensorType.U8,
    "i32": _tensor.TensorType.I32,
    "i64": _tensor.TensorType.I64,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


class Error(Exception):
    """An inference failed: `code` is the kind, such as "not-found"; the text says why and what to do."""

    code = "unknown"


class InvalidArgument(Error):
    """A tensor does not fit the model, or an input has a name that the model does not know."""

    code = "invalid-argument"


class InvalidEncoding(Error):
    """The model's encoding is not known here."""

    code = "invalid-encoding"


class Timeout(Error):
    """The inference passed its deadline."""

    code = "timeout"


class RuntimeFailed(Error):
    """The framework failed, the model is overloaded, or its process died: trying again may help."""

    code = "runtime-error"


class UnsupportedOperation(Error):
    """It is not allowed, or not there."""

    code = "unsupported-operation"


class TooLarge(Error):
    """A tensor is over a limit."""

    code = "too-large"


class NotFound(Error):
    """There is no such model for this function."""

    code = "not-found"


class SecurityError(Error):
    """It is forbidden."""

    code = "security"


class UnknownError(Error):
    """Something else."""


_ERRORS = {kind.code: kind for kind in Error.__subclasses__()}


class Model:
    """A model that is loaded already, outside of the function. Call it with its inputs."""

    def __init__(self, name: str, graph: Any) -> None:
        self.name = name
        self._graph = graph
        self._context: Any = None

    def __call__(self, *inputs: Any, **named: Any) -> dict[str, Tensor]:
        """The outputs by their names. Inputs go by name or position; see `tensor` for what they may be.

        Raises Error.
        """
        given = {str(index): value for index, value in enumerate(inputs)} | named
        try:
            if self._context is None:
                self._context = self._graph.init_execution_context()
            made = self._context.compute([(name, _lowered(value)) for name, value in given.items()])
        except Err as error:
            raise _raised(error) from None
        return {name: _lifted(resource) for name, resource in made}

    def stream(self, prompt: str | bytes, **options: Any) -> Iterator[bytes]:
        """A language model's text in the pieces in which it is written; one letter may be in two of them.

        `options` are the model's, with `_` for `-`: `chat=True`, `n_predict=64`, `temp=0`. Raises Error.
        """
        text = prompt.encode() if isinstance(prompt, str) else prompt
        told = json.dumps({**options, "stream": True}).encode()
        made = self(prompt=text, options=told)
        while True:
            if made["text"].data:
                yield made["text"].data
            if json.loads(made["usage"].data)["finish"]:
                return
            made = self()


def load(name: str) -> Model:
    """The model of this name, if the function's configuration grants it. Raises Error (NotFound)."""
    try:
        return Model(name, _graph.load_by_name(name))
    except Err as error:
        raise _raised(error) from None


def load_bytes(*parts: bytes, encoding: str = "autodetect", target: str = "cpu") -> Model:
    """A model of its own bytes (OpenVINO: XML, then weights), where the configuration says `allow_load`.

    Raises Error.
    """
    kind = getattr(_graph.GraphEncoding, encoding.upper())
    device = getattr(_graph.ExecutionTarget, target.upper())
    try:
        return Model("", _graph.load(list(parts), kind, device))
    except Err as error:
        raise _raised(error) from None


def _lowered(value: Any) -> Any:
    given = tensor(value)
    return _tensor.Tensor(list(given.shape), _TYPES[given.type], given.data)


def _lifted(resource: Any) -> Tensor:
    with resource:
        return Tensor(_NAMES[resource.ty()], tuple(resource.dimensions()), bytes(resource.data()))


def _raised(error: Err[Any]) -> Error:
    with error.value as found:
        code = found.code().name.lower().replace("_", "-")
        return _ERRORS.get(code, UnknownError)(found.data())
