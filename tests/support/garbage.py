"""What frees itself at once, and what waits for Python's garbage collector."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


@contextmanager
def no_garbage() -> Iterator[None]:
    """Nothing that is made and given up meanwhile is left to the collector, which would hold everybody up."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        left = Counter(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left, left


async def leaves_nothing(work: Callable[[], Awaitable[object]]) -> None:
    """`work` frees all that it makes, but for what its first time keeps for the next ones."""
    await work()
    with no_garbage():
        for _ in range(3):
            await work()
