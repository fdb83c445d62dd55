"""Two ways to the same answer: the second is tried when the first is late, or gives way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeAlias, TypeVar

Result = TypeVar("Result")
Why: TypeAlias = Literal["late", "down"]
"""Why the second was tried: the first had not answered in time, or had failed and gave way."""


async def race(
    first: Coroutine[Any, Any, Result],
    second: Callable[[Why], Coroutine[Any, Any, Result] | None],
    *,
    after: float | None,
    gives_way: Callable[[Exception], bool] = lambda _: False,
    discard: Callable[[Result], object] = lambda _: None,
) -> tuple[Result, Why | None]:
    """Run `first`; if it has not ended after `after` seconds, run `second` too, and take the first answer.

    `second` is also asked when `first` fails with an error that `gives_way` accepts. It may refuse by None.
    Tells why, if the answer is the second's. The other is cancelled; an answer that nobody takes goes to
    `discard`. When neither answers, raises what the first failed with, the second's failure as its cause.
    """
    if after is None:
        return await _in_turn(first, second, gives_way)
    original, other = asyncio.ensure_future(first), None
    running = {original}
    try:
        await asyncio.wait(running, timeout=after)
        why: Why = "down" if original.done() else "late"
        if original.done() and not _gave_way(original, gives_way):
            return original.result(), None
        coming = second(why)
        if coming is None:
            return await original, None
        other = asyncio.ensure_future(coming)
        running.add(other)
        while True:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in (original, other):
                if task in running and task.done():
                    running.discard(task)
                    if not task.cancelled() and task.exception() is None:
                        return task.result(), why if task is other else None
            if not running:
                raise original.exception() or asyncio.CancelledError from other.exception()
    finally:
        await _give_up(running, discard)
        del original, other  # their errors hold this frame


async def _in_turn(
    first: Coroutine[Any, Any, Result],
    second: Callable[[Why], Coroutine[Any, Any, Result] | None],
    gives_way: Callable[[Exception], bool],
) -> tuple[Result, Why | None]:
    """The same without haste: no task is needed."""
    try:
        return await first, None
    except Exception as error:
        coming = second("down") if gives_way(error) else None
        if coming is None:
            raise
        try:
            return await coming, "down"
        except Exception as also:
            raise error from also


def _gave_way(task: asyncio.Task[Result], gives_way: Callable[[Exception], bool]) -> bool:
    error = None if task.cancelled() else task.exception()
    return isinstance(error, Exception) and gives_way(error)


async def _give_up(tasks: set[asyncio.Task[Result]], discard: Callable[[Result], object]) -> None:
    """Cancel what still runs and wait for its end, so that nothing of it is left."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            discard(task.result())
