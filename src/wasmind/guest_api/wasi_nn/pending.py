"""`wasmind:nn/async`, our extension to `wasi:nn`: computations that are started together and waited for with
pollables. Its WIT is `wasmind-nn.wit` beside this file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeAlias

from wasmind.component.abi.values import Err, Ok
from wasmind.component.interface import WitInterface
from wasmind.component.types import Borrow, Option, Own, Result
from wasmind.errors import LimitExceeded, WasmindError
from wasmind.guest_api.wasi.p2.io import POLLABLE
from wasmind.guest_api.wasi.p2.pollable import Pollable
from wasmind.guest_api.wasi_nn.wit import CONTEXT, ERROR, NAMED, Failure, failure

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.host import ComponentHost
    from wasmind.nn.session import Session
    from wasmind.sandbox import Guest

MOST = 256
"""Computations of one run that are under way at once; each needs a context."""

Outputs: TypeAlias = list[tuple[str, int]]


class Pending(Pollable):
    """A computation under way, ready when it has ended."""

    __slots__ = ("_given", "_session", "_task")

    def __init__(self, session: Session, task: asyncio.Task[Outputs | Err[Failure]]) -> None:
        self._session = session
        self._task = task
        self._given = False

    @property
    def ready(self) -> bool:
        """Whether the computation has ended."""
        return self._task.done()

    def wait(self) -> Awaitable[object]:
        """Wait for its end; it goes on if the wait is given up."""
        return asyncio.wait((self._task,))

    def get(self) -> Ok[Ok[Outputs] | Err[Failure]] | Err[None] | None:
        """None while it is under way; its outputs or its error, once. Raises what ends the guest."""
        if not self._task.done():
            return None
        if self._given:
            return Err(None)
        self._given = True
        found = self._task.result()
        return Ok(found if isinstance(found, Err) else Ok(found))

    def drop(self) -> None:
        """The guest gives it up: outputs that it has not taken are freed."""
        self.abandon()
        if (
            self._task.done()
            and not self._given
            and not self._task.cancelled()
            and not self._task.exception()
        ):
            found = self._task.result()
            for _, handle in () if isinstance(found, Err) else found:
                self._session.drop_tensor(handle)

    def abandon(self) -> None:
        """The guest is gone, and waits for nothing any more."""
        self._task.cancel()
        self._task.add_done_callback(_seen)


def _drop(_guest: Guest[ComponentHost], pending: Pending) -> None:
    pending.drop()


asynchronous = WitInterface("wasmind:nn/async@0.1.0")
PENDING = asynchronous.resource("pending", _drop)


@asynchronous.function("compute", {"context": Borrow(CONTEXT), "inputs": NAMED}, Own(PENDING))
def compute(guest: Guest[ComponentHost], context: int, inputs: Sequence[tuple[str, int]]) -> Pending:
    """Start to compute; whatever is wrong is told by `get`. Raises LimitExceeded for too many at once."""
    session = guest.host.nn
    if session.pending >= MOST:
        raise LimitExceeded(
            f"more than {MOST} computations are under way", remedy="wait for some before starting others"
        )
    session.pending += 1
    return Pending(session, asyncio.get_running_loop().create_task(_computed(guest, context, inputs)))


@asynchronous.method(PENDING, "subscribe", result=Own(POLLABLE))
def subscribe(_guest: Guest[ComponentHost], pending: Pending) -> Pollable:
    """Make a pollable that is ready when the computation has ended."""
    return pending


@asynchronous.method(PENDING, "get", result=Option(Result(Result(NAMED, Own(ERROR)), None)))
def get(_guest: Guest[ComponentHost], pending: Pending) -> Ok[Ok[Outputs] | Err[Failure]] | Err[None] | None:
    """Give the outputs or the error, once they are there, once."""
    return pending.get()


async def _computed(
    guest: Guest[ComponentHost], context: int, inputs: Sequence[tuple[str, int]]
) -> Outputs | Err[Failure]:
    session = guest.host.nn
    began = perf_counter_ns()
    try:
        return await session.compute(context, inputs)
    except WasmindError as error:
        return failure(error)
    finally:
        session.pending -= 1
        guest.figures.inference_ns += perf_counter_ns() - began
        for _, handle in inputs:
            session.give_back(handle)


def _seen(task: asyncio.Task[Outputs | Err[Failure]]) -> None:
    """Take note of how a computation ended that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


INTERFACES = (asynchronous,)
