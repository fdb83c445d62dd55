"""What the demo's tests share: the model prepared once, photos converted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmind.demo import photo, prepare
from wasmind.errors import PackageMissing


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> prepare.Prepared:
    return prepare.prepare(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def photos() -> dict[str, bytes]:
    """scikit-image's photos by their names, as the function takes them."""
    try:
        found = prepare.photos()
    except PackageMissing as error:
        pytest.skip(error.explain())
    return {Path(path).stem: photo.to_rgb(path) for path in found}
