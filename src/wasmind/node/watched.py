"""Tasks that go on for as long as the node does: one that fails is told at once, not when it is collected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


def watched(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run `work` as a task whose failure goes to the loop's exception handler."""
    task = asyncio.create_task(work, name=getattr(work, "__qualname__", None))
    task.add_done_callback(_tell)
    return task


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        task.get_loop().call_exception_handler({"message": f"{task.get_name()} failed", "exception": error})
