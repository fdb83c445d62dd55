"""A process that several tests infer with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.onnx_models import linear
from support.workers import standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.workers import Standing


@pytest.fixture(scope="module")
def linear_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """y = 2x + 1 for f32 [1,4]."""
    with standing(linear(), tmp_path_factory.mktemp("linear")) as made:
        yield made
