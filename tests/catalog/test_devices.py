"""What of a configured device is there, and may be used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from wasmind.catalog.devices import absent
from wasmind.config import Device

if TYPE_CHECKING:
    from pathlib import Path


def test_device_files_and_what_a_driver_reads_are_there(tmp_path: Path) -> None:
    assert list(absent(Device(nodes=["/dev/null", "/dev/zero"], read=["/usr/lib", str(tmp_path)]))) == []
    assert list(absent(Device())) == []


def test_each_missing_file_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "renderD128")
    assert list(absent(Device(nodes=[gone], read=[gone + "x"]))) == [
        f"{gone}: No such file or directory",
        f"{gone}x: No such file or directory",
    ]


def test_files_and_directories_are_no_devices(tmp_path: Path) -> None:
    """They would be given to write."""
    file = tmp_path / "file"
    file.touch()
    assert list(absent(Device(nodes=[str(file), str(tmp_path)]))) == [
        f"{file}: it is no device file",
        f"{tmp_path}: it is no device file",
    ]


def test_what_this_user_may_not_use_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    node, file = absent(Device(nodes=["/dev/null"], read=[str(tmp_path)]))
    assert "/dev/null: this user may not use it (its group may" in node
    assert file == f"{tmp_path}: this user may not read it"
