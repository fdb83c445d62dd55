"""Graphs: loaded models, as guests see them; and where guests get them from."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from wasmind.nn.backend import Backend
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.signature import Signature


class Graph:
    """A model that is ready to be computed, with the backend that the operator chose for it."""

    __slots__ = ("_signature", "backend", "deadline", "labels", "name")

    def __init__(
        self, name: str, backend: Backend, deadline: float = 30.0, labels: tuple[str, ...] = ()
    ) -> None:
        """`deadline` is in seconds: the longest an inference may take, waiting included."""
        self.name = name
        self.backend = backend
        self.deadline = deadline
        self.labels = labels
        """What the classes of its outputs are called, if the operator said."""
        self._signature: Signature | None = None

    @property
    def signature(self) -> Signature:
        """What the model takes and gives. Raises ModelUnavailable while it is not known."""
        if self._signature is None:
            self._signature = self.backend.signature
        return self._signature


class Models(Protocol):
    """The models one function may use."""

    allow_load: bool
    """Whether the function may bring a model's bytes."""

    def resolve(self, name: str) -> Graph | Awaitable[Graph]:
        """Find a named model. An answer at hand is given at once; one that must be waited for, as an
        awaitable.

        Raises ModelNotFound, the same for a name that does not exist and for one the function may not use,
        and ModelUnavailable.
        """

    async def load(self, builders: tuple[bytes, ...], encoding: Encoding, target: Target) -> Graph:
        """Load a model from bytes, once for however many requests bring the same ones.

        `encoding` is never AUTODETECT. Raises InvalidEncoding when no runtime here reads it,
        UnsupportedOperation for a target that is not there, ModelLoadFailed, TooLarge, ModelUnavailable.
        """
