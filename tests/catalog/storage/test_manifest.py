"""Manifests: what is taken, and what a hostile one is refused for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.catalog.storage.manifest import MAX_BYTES, Manifest, StoredFile, is_plain, plain_digest
from wasmind.errors import ModelLoadFailed

ZERO = "0" * 64


def text(*names: str, **changes: object) -> bytes:
    files = [{"name": name, "size": 1, "sha256": ZERO} | changes for name in names]
    return json.dumps({"files": files}).encode()


def test_what_was_encoded_is_decoded() -> None:
    manifest = Manifest.of([StoredFile(name=name, size=1, sha256=ZERO) for name in ("b/c", "a")])
    assert [file.name for file in manifest.files] == ["a", "b/c"]
    assert Manifest.decode(manifest.encode(), "here") == manifest
    assert manifest.size == 2


def test_a_single_file_is_pinned_by_its_own_digest() -> None:
    one = StoredFile(name="net.onnx", size=1, sha256="1" * 64)
    assert Manifest.of([one]).digest == "1" * 64
    assert Manifest.of([one, StoredFile(name="z", size=1, sha256=ZERO)]).digest not in (ZERO, "1" * 64)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/../b", "a/./b", ".hidden", "a//b", "a/", "/etc/passwd", "-rf", "é"),
        *("a\\b", "a\nb", "a\0b", "a/" * 9 + "b", "x" * 201),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert not is_plain(name)
    with pytest.raises(ModelLoadFailed):
        Manifest.decode(text(name), "there")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"files": []}',
        text("a", size=-1),
        text("a", size=1 << 41),
        text("a", sha256="0" * 63),
        text("a", sha256="Z" * 64),
        text("a", more=1),
        text("a", "a"),
        text("a", "a/b"),
        text("b", "a"),
        b'{"files": ' + b"[" * 100_000,
        text("a") + b" " * MAX_BYTES,
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ModelLoadFailed) as caught:
        Manifest.decode(data, "s3://there")
    assert "s3://there" in caught.value.message


@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(ModelLoadFailed):
        Manifest.decode(data, "there")


@given(st.text(max_size=30))
def test_a_plain_name_stays_in_its_directory(name: str) -> None:
    import os.path

    if is_plain(name):
        assert os.path.normpath(os.path.join("/models/net", name)) == f"/models/net/{name}"


def test_digests_are_read_with_and_without_their_prefix() -> None:
    assert plain_digest(f"sha256:{ZERO}") == plain_digest(ZERO) == ZERO
    for wrong in ("md5:" + ZERO, ZERO + "0", "sha256:", "", ZERO.replace("0", "g")):
        with pytest.raises(ValueError, match="64 hexadecimal"):
            plain_digest(wrong)
