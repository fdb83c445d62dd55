"""Projects that tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmind.projects.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def target(tmp_path: Path) -> Callable[..., Target]:
    """Write a source, and make a target of it."""

    def make(name: str, text: str, *, models: bool = False) -> Target:
        source = tmp_path / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        return Target("f", source, tmp_path / "build" / "f.wasm", tmp_path, models)

    return make
