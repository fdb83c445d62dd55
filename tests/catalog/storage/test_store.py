"""The node's store: whole artifacts or none, whatever happens to a transfer."""

from __future__ import annotations

import hashlib
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from wasmind.catalog.storage import store as stores
from wasmind.catalog.storage.manifest import Manifest, StoredFile
from wasmind.catalog.storage.store import Store, read_directory
from wasmind.errors import ModelLoadFailed, NodeError, StorageFailed, TransferBroken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = bytes(range(256)) * 1000


def stored(name: str, data: bytes) -> StoredFile:
    return StoredFile(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


MANIFEST = Manifest.of([stored("model.bin", DATA), stored("sub/labels.txt", b"cat\n")])
CONTENTS = {"model.bin": DATA, "sub/labels.txt": b"cat\n"}


def whole(file: StoredFile, offset: int) -> Iterator[bytes]:
    data = CONTENTS[file.name]
    for at in range(offset, len(data), 1000):
        yield data[at : at + 1000]


def silent(_size: int) -> None:
    pass


def test_an_artifact_is_stored_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.add(MANIFEST, whole, silent)
    assert read_directory(path)[0] == MANIFEST
    assert store.find(MANIFEST.digest) == path

    def never(_file: StoredFile, _offset: int) -> Iterator[bytes]:
        raise AssertionError

    assert store.add(MANIFEST, never, silent) == path
    assert not list((tmp_path / "partial").iterdir())
    assert [entry.name for entry in (tmp_path / "artifacts").iterdir()] == [MANIFEST.digest]


def test_what_came_is_kept_and_continued(tmp_path: Path) -> None:
    store, offsets, came = Store(tmp_path), [], []

    def breaking(file: StoredFile, offset: int) -> Iterator[bytes]:
        offsets.append(offset)
        for number, part in enumerate(whole(file, offset)):
            if number == 100 and file.name == "model.bin":
                return
            yield part

    for _ in range(2):
        with pytest.raises(TransferBroken):
            store.add(MANIFEST, breaking, silent)
    store.add(MANIFEST, breaking, came.append)
    assert offsets == [0, 100_000, 200_000, 0]
    assert sum(came) == MANIFEST.size


def test_a_place_that_cannot_continue_begins_again(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def half(file: StoredFile, _offset: int) -> Iterator[bytes]:
        yield CONTENTS[file.name][:1000]

    def only_from_the_start(file: StoredFile, offset: int) -> Iterator[bytes]:
        if not offset:
            yield from whole(file, 0)

    with pytest.raises(TransferBroken):
        store.add(MANIFEST, half, silent)
    with pytest.raises(TransferBroken, match="begun again"):
        store.add(MANIFEST, only_from_the_start, silent)
    assert read_directory(store.add(MANIFEST, only_from_the_start, silent))[0] == MANIFEST


@pytest.mark.parametrize("change", [lambda d: d[:-1] + b"?", lambda d: d + b"more", lambda d: b"?" + d[1:]])
def test_what_is_not_what_it_should_be_is_thrown_away(tmp_path: Path, change) -> None:
    store = Store(tmp_path)

    def lying(file: StoredFile, offset: int) -> Iterator[bytes]:
        yield change(CONTENTS[file.name])[offset:]

    with pytest.raises(ModelLoadFailed, match="not what its digest says"):
        store.add(MANIFEST, lying, silent)
    assert store.find(MANIFEST.digest) is None
    assert read_directory(store.add(MANIFEST, whole, silent))[0] == MANIFEST


def test_a_place_that_never_ends_is_cut_off_after_the_size(tmp_path: Path) -> None:
    taken = 0

    def endless(_file: StoredFile, _offset: int) -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield b"x" * 1000

    with pytest.raises(ModelLoadFailed):
        Store(tmp_path).add(MANIFEST, endless, silent)
    assert taken <= len(DATA) + 2000


def test_a_transfer_that_is_given_up_leaves_no_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def stopping(_size: int) -> None:
        raise NodeError("the node stops")

    with pytest.raises(NodeError):
        store.add(MANIFEST, whole, stopping)
    assert not list((tmp_path / "artifacts").iterdir())


def test_several_at_once_store_it_once(tmp_path: Path) -> None:
    reads: list[str] = []
    paths: list[Path] = []

    def slow(file: StoredFile, offset: int) -> Iterator[bytes]:
        reads.append(file.name)
        yield from whole(file, offset)

    threads = [
        threading.Thread(target=lambda: paths.append(Store(tmp_path).add(MANIFEST, slow, silent)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert read_directory(paths[0])[0] == MANIFEST


def test_a_disk_without_room_is_told_before_anything_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=stores.SPARE)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(StorageFailed, match="are free"):
        Store(tmp_path).add(MANIFEST, whole, silent)


def test_a_file_of_unknown_digest_waits_to_be_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.receive(iter([DATA[:1000], DATA[1000:]]))
    assert digest == hashlib.sha256(DATA).hexdigest()
    only = Manifest.of([stored("model.bin", DATA)])

    def never(_file: StoredFile, _offset: int) -> Iterator[bytes]:
        raise AssertionError

    assert (store.add(only, never, silent) / "model.bin").read_bytes() == DATA


def test_what_a_uri_was_is_remembered_while_it_is_here(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.remember("oci://there/net:1", MANIFEST.digest)
    assert store.recall("oci://there/net:1") is None
    store.add(MANIFEST, whole, silent)
    assert Store(tmp_path).recall("oci://there/net:1") == MANIFEST.digest
    assert store.recall("oci://there/net:2") is None


def test_links_are_left_out_of_what_is_pushed(tmp_path: Path) -> None:
    model = tmp_path / "net"
    model.mkdir()
    (model / "model.onnx").write_bytes(b"weights")
    (model / "secret").symlink_to("/etc/passwd")
    manifest, files = read_directory(model)
    assert [file.name for file in manifest.files] == ["model.onnx"]
    assert list(files) == ["model.onnx"]


def test_a_name_that_cannot_be_pushed_is_told(tmp_path: Path) -> None:
    (tmp_path / "a b.onnx").write_bytes(b"weights")
    with pytest.raises(ModelLoadFailed, match=r"a b\.onnx"):
        read_directory(tmp_path)
    (tmp_path / "a b.onnx").unlink()
    with pytest.raises(ModelLoadFailed, match="holds no files"):
        read_directory(tmp_path)
