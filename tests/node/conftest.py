"""One node that the tests of this room share; each leaves it as it found it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.nodes import CONFIG, NodeProcess, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with running(tmp_path_factory.mktemp("node")) as started:
        yield started


@pytest.fixture
def node(shared: NodeProcess) -> Iterator[NodeProcess]:
    """The shared node, with its own configuration again afterwards."""
    before = shared.status().generation
    yield shared
    shared.configure(CONFIG)
    if shared.status().generation != before:
        shared.reload()
