"""What runs on a process here, an edge worker runs on uvloop; so do these tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    own = item.path.parent == Path(__file__).parent
    return {"uvloop": uvloop.new_event_loop} if own else {"asyncio": asyncio.new_event_loop}
