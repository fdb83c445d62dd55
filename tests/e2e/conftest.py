"""Edge workers that tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.edges import EdgeProcess, SharedEdge, function, snapshot
from wasmind.config import Limits, Size

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    """A worker with the guest `http` as several functions."""
    small = Limits(
        cpu_ms=200, wall_ms=600, memory=Size(24 << 20), request_body=Size(100_000), body_stall_ms=300
    )
    functions = (
        function("f", env={"COLOUR": "green", "REQUEST_METHOD": "forged"}),
        function("small", limits=small),
        function("cpu", limits=Limits(cpu_ms=100, wall_ms=60_000)),
        function("one", limits=Limits(concurrency=1)),
        function("get", methods=("GET", "HEAD")),
        function("hosted", host="own.example", routes=("/*",)),
        function("exact", "hello.wat", routes=("/exact/hello",)),
    )
    with SharedEdge(snapshot(*functions), tmp_path_factory.mktemp("edge")) as process:
        yield process


@pytest.fixture(scope="module")
def in_dev_mode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    """The same in dev mode."""
    with SharedEdge(snapshot(function(), dev=True), tmp_path_factory.mktemp("edge")) as process:
        yield process
