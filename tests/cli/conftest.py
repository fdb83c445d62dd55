"""A directory with a node's files, which no node serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.guests import build
from support.nodes import prepare

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`wasmind.toml` with its files, and the guest `infer.wasm` beside them."""
    directory = prepare(tmp_path_factory.mktemp("site"))
    (directory / "infer.wasm").write_bytes(build("infer.c"))
    return directory
