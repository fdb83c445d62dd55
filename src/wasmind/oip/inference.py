"""One inference by the protocol: a model by name and version, tensors by their names in and out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter_ns
from typing import TYPE_CHECKING

from wasmind.errors import InferenceTimeout, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmind.backends.oip.rest import Named
    from wasmind.nn.graph import Graph
    from wasmind.nn.session import Session

VERSION = "1"
"""The version of a model that has no versions."""


def reference(model: str, version: str) -> str:
    """What a model of a version is called in a session: `name`, or `name@version`."""
    return f"{model}@{version}" if version else model


def same(_model: str, version: str) -> str:
    """The version that answers, where none but the one asked for is known."""
    return version or VERSION


class Inference:
    """One request's use of a session. Close it when the outputs are written: they are lent."""

    __slots__ = ("_context", "_graph", "began_ns", "ended_ns", "session", "version_of")

    def __init__(self, session: Session, version_of: Callable[[str, str], str] = same) -> None:
        """`version_of` tells which version a model has that was asked for by name and version, or by its
        name alone (a version of "")."""
        self.session = session
        self.version_of = version_of
        self.began_ns = self.ended_ns = 0
        """When the inputs were there, and the outputs, by `perf_counter_ns`."""
        self._graph = self._context = 0

    async def graph(self, model: str, version: str) -> Graph:
        """The model, once it has a signature. Raises ModelNotFound, ModelUnavailable, TooLarge."""
        found = self.session.load_by_name(reference(model, version))
        self._graph = found if isinstance(found, int) else await found
        return self.session.graph(self._graph)

    async def run(
        self, model: str, version: str, inputs: Sequence[Named], timeout_us: int | None = None
    ) -> tuple[Named, ...]:
        """The outputs for `inputs`; `timeout_us` may shorten the model's own deadline.

        Raises ModelNotFound, InvalidArgument, InvalidTensor, TooLarge, and what `Backend.infer` raises.
        """
        await self.graph(model, version)
        self._context = self.session.init_execution_context(self._graph)
        context = self.session.context(self._context)
        self.began_ns = perf_counter_ns()
        try:
            if not timeout_us:
                return await context.infer(inputs)
            try:
                async with asyncio.timeout(timeout_us / 1e6):
                    return await context.infer(inputs)
            except TimeoutError as error:
                raise InferenceTimeout(
                    f"it took longer than the {timeout_us} us that were asked for"
                ) from error
        finally:
            self.ended_ns = perf_counter_ns()

    @property
    def labels(self) -> tuple[str, ...]:
        """What the model's classes are called."""
        return self.session.graph(self._graph).labels

    def close(self) -> None:
        """Give the outputs and the handles back; a session that was closed meanwhile has freed them."""
        with suppress(InvalidArgument):
            if self._context:
                self.session.drop_context(self._context)
            if self._graph:
                self.session.drop_graph(self._graph)
        self._graph = self._context = 0


def chosen(outputs: Sequence[Named], names: Sequence[str]) -> list[Named]:
    """The outputs that were asked for, in that order; all if none was named. Raises InvalidArgument."""
    if not names:
        return list(outputs)
    found = dict(outputs)
    for name in names:
        if name not in found:
            raise InvalidArgument(
                f"the model has no output {name[:80]!r}",
                cause=f"its outputs are {', '.join(name for name, _ in outputs[:16])}",
                remedy="ask for one of these, or for none to get all",
            )
    return [(name, found[name]) for name in names]
