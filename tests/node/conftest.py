"""What a node is made of, for tests of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.nodes import prepare
from wasmind import config
from wasmind.node.plan import Plan, make_plan
from wasmind.node.state import StateDir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """All that the nodes of tests serve."""
    directory = prepare(tmp_path)
    return make_plan(config.load(directory / "wasmind.toml"), directory / "state")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    """A state directory that nobody else has."""
    taken = StateDir.take(tmp_path / "state")
    yield taken
    taken.release()
