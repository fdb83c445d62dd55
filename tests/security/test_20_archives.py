"""Row 20: archives given as models are looked at, never unpacked, and what is looked at is bounded."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from wasmind.catalog import formats
from wasmind.errors import InvalidEncoding

TORCHSCRIPT = ("net/data.pkl", "net/code/__torch__.py", "net/constants.pkl")


def peak_of(path: Path) -> tuple[int, float, str]:
    """Look at a file: the memory it took in bytes, the seconds, and what was said."""
    tracemalloc.start()
    began = time.perf_counter()
    try:
        said = formats.encoding_of(path)
    except InvalidEncoding as error:
        said = error.explain()  # type: ignore[assignment] # a text either way
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, time.perf_counter() - began, said


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in TORCHSCRIPT:
            made.writestr(name, bytes(20 << 20))
    assert path.stat().st_size < 1 << 20
    peak, _, said = peak_of(path)
    assert said == "pytorch"
    assert peak < 1 << 20


def test_names_that_lead_away_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as made:
        for name in (*TORCHSCRIPT, "../../canary", "/canary", "net/../../../canary"):
            made.writestr(name, b"x")
    assert peak_of(path)[2] == "pytorch"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]


def listing(path: Path, size: int, *, zip64: bool) -> None:
    """A zip archive that says its list of entries has so many bytes, and has them."""
    with path.open("wb") as file:
        file.write(b"PK\x03\x04" + bytes(26))
        file.truncate(30 + size)
        file.seek(30 + size)
        if zip64:
            file.write(struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, 30))
            file.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, 30 + size, 1))
        said = 0xFFFFFFFF if zip64 else size
        file.write(struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, said, 30, 0))


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("size", [formats.MAX_ZIP_DIRECTORY + 1, 3 << 30])
def test_a_list_of_entries_that_is_too_long_is_not_read(size: int, zip64: bool, tmp_path: Path) -> None:
    listing(tmp_path / "model.pt", size, zip64=zip64)
    peak, seconds, said = peak_of(tmp_path / "model.pt")
    assert "lists too many entries" in said
    assert peak < 1 << 20
    assert seconds < 5


def test_a_small_word_does_not_hide_a_long_list(tmp_path: Path) -> None:
    """zipfile believes the zip64 record, whatever the older one says; so does the limit."""
    path, size = tmp_path / "model.pt", 1 << 30
    listing(path, size, zip64=True)
    with path.open("r+b") as file:
        file.seek(-10, 2)
        file.write(struct.pack("<I", 46))
    peak, _, said = peak_of(path)
    assert "lists too many entries" in said
    assert peak < 1 << 20


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08" + bytes(64), b"PK\x05\x06" + bytes(18), b"PK\x03\x04"])
def test_other_archives_are_no_models(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(InvalidEncoding):
        formats.encoding_of(tmp_path / "model.pt")
