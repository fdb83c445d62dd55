from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmind.catalog import stored


def test_a_value_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/value"
    stored.write(path, {"a": [1, 2]})
    assert stored.read(path, dict[str, list[int]]) == {"a": [1, 2]}


def test_nothing_there(tmp_path: Path) -> None:
    assert stored.read(tmp_path / "value", dict) is None


def test_another_kind(tmp_path: Path) -> None:
    stored.write(tmp_path / "value", ["text"])
    assert stored.read(tmp_path / "value", dict[str, int]) is None


@pytest.mark.parametrize("write", [stored.write, stored.write_bytes])
def test_what_cannot_be_written_leaves_the_old_value(write: Callable[..., None], tmp_path: Path) -> None:
    stored.write(tmp_path / "value", 1)
    with pytest.raises(TypeError):
        write(tmp_path / "value", object())
    assert stored.read(tmp_path / "value", int) == 1
    assert os.listdir(tmp_path) == ["value"]


def test_a_reader_never_sees_half_a_value(tmp_path: Path) -> None:
    path, stop, seen = tmp_path / "value", threading.Event(), set()
    stored.write(path, "a" * 100_000)

    def reading() -> None:
        while not stop.is_set():
            seen.add(stored.read(path, str))

    reader = threading.Thread(target=reading)
    reader.start()
    for letter in "bcdefgh" * 10:
        stored.write(path, letter * 100_000)
    stop.set()
    reader.join()
    assert None not in seen
    assert all(len(set(value)) == 1 for value in seen)
