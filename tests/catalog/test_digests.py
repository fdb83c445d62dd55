from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from wasmind.catalog.digests import Digests
from wasmind.catalog.files import ModelFile, files_of
from wasmind.errors import ModelLoadFailed


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_one_file_has_the_digest_that_sha256sum_prints(tmp_path: Path) -> None:
    net = put(tmp_path / "net.onnx", b"net")
    assert Digests().of_model(files_of(net)) == hashlib.sha256(b"net").hexdigest()


def test_a_model_of_several_files_is_its_files_wherever_it_stands(tmp_path: Path) -> None:
    for root in ("a", "b/c"):
        put(tmp_path / root / "model.xml", b"net")
        put(tmp_path / root / "model.bin", b"weights")
    digests = Digests()
    first, second = (digests.of_model(files_of(tmp_path / root)) for root in ("a", "b/c"))
    assert first == second
    put(tmp_path / "a/model.bin", b"Weights")
    assert digests.of_model(files_of(tmp_path / "a")) != first


def test_a_renamed_file_is_another_model(tmp_path: Path) -> None:
    put(tmp_path / "net.onnx", b"net")
    put(tmp_path / "net.onnx.data", b"data")
    before = Digests().of_model(files_of(tmp_path / "net.onnx"))
    (tmp_path / "net.onnx.data").rename(tmp_path / "net.onnx_data")
    assert Digests().of_model(files_of(tmp_path / "net.onnx")) != before


class Reads:
    """Counts how often a file is hashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = hashlib.file_digest

        def counted(*arguments: object) -> object:
            self.count += 1
            return original(*arguments)  # type: ignore[arg-type] # passed on as they came

        monkeypatch.setattr(hashlib, "file_digest", counted)


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = put(tmp_path / "net.onnx", b"one")
    digests, reads = Digests(), Reads(monkeypatch)
    first = digests.of_file(net)
    assert digests.of_file(net) == first
    assert reads.count == 1
    put(net, b"two")
    assert digests.of_file(net) == hashlib.sha256(b"two").hexdigest()
    assert reads.count == 2


def test_a_forged_time_of_change_is_no_way_around(tmp_path: Path) -> None:
    net = put(tmp_path / "net.onnx", b"one")
    digests, before = Digests(), net.stat()
    digests.of_file(net)
    put(net, b"two")
    os.utime(net, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.of_file(net) == hashlib.sha256(b"two").hexdigest()


def test_a_replaced_file_is_another(tmp_path: Path) -> None:
    net, other = put(tmp_path / "net.onnx", b"one"), put(tmp_path / "new", b"two")
    digests = Digests()
    digests.of_file(net)
    other.rename(net)
    assert digests.of_file(net) == hashlib.sha256(b"two").hexdigest()


def test_they_are_kept_from_one_start_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, store = put(tmp_path / "net.onnx", b"net"), tmp_path / "state/digests.msgpack"
    first = Digests(store)
    expected = first.of_file(net)
    first.save()
    reads = Reads(monkeypatch)
    second = Digests(store)
    assert second.of_file(net) == expected
    assert reads.count == 0
    assert os.listdir(store.parent) == ["digests.msgpack"], "nothing temporary is left"


def test_what_is_no_longer_asked_for_is_forgotten(tmp_path: Path) -> None:
    old, new, store = put(tmp_path / "old", b"old"), put(tmp_path / "new", b"new"), tmp_path / "digests"
    first = Digests(store)
    first.of_file(old)
    first.save()
    second = Digests(store)
    second.of_file(new)
    second.save()
    assert b"/old" not in store.read_bytes()
    assert b"/new" in store.read_bytes()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x80", b"\x81\xa1x\x01"])
def test_a_damaged_store_is_begun_anew(content: bytes, tmp_path: Path) -> None:
    net, store = put(tmp_path / "net", b"net"), put(tmp_path / "digests", content)
    assert Digests(store).of_file(net) == hashlib.sha256(b"net").hexdigest()


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = put(tmp_path / "net", b"net")
    original = hashlib.file_digest

    def meanwhile(*arguments: object) -> object:
        put(net, b"longer")
        return original(*arguments)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(hashlib, "file_digest", meanwhile)
    with pytest.raises(ModelLoadFailed, match="changed while it was read"):
        Digests().of_file(net)


def test_a_file_that_went_away_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match=r"gone\.onnx cannot be read"):
        Digests().of_model((ModelFile(str(tmp_path / "gone.onnx"), "model"),))
