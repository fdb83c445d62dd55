"""Row 19: a pickle in a model file would run code when it is read. It never is; a canary is never made."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from typing import TYPE_CHECKING

import pytest

from support.workers import spec_of
from wasmind.errors import InvalidEncoding, ModelLoadFailed
from wasmind.worker.spawn import listen, spawn

if TYPE_CHECKING:
    from pathlib import Path


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def bare(canary: Path) -> bytes:
    return pickle.dumps(Canary(canary))


def as_torch_saves_it(canary: Path) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("model/data.pkl", bare(canary))
        archive.writestr("model/version", "3\n")
    return held.getvalue()


def test_the_canary_sings(tmp_path: Path) -> None:
    pickle.loads(bare(tmp_path / "canary"))
    assert (tmp_path / "canary").is_dir()


@pytest.mark.parametrize("encoding", ["pytorch", "onnx"])
@pytest.mark.parametrize("make", [bare, as_torch_saves_it], ids=["bare", "zip"])
async def test_a_pickle_is_refused_whatever_it_claims_to_be(tmp_path: Path, make, encoding: str) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "model.pt"
    path.write_bytes(make(canary))
    with listen(tmp_path / "s.sock") as listener:
        process = await spawn(spec_of(path, encoding=encoding), listener)
        with pytest.raises((ModelLoadFailed, InvalidEncoding)):
            await process.ready()
        await process.wait()
    assert not canary.exists()
