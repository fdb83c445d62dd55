from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from wasmind.errors import ProgramError
from wasmind.sandbox import Artifact, Kind, Outline, Signature
from wasmind.sandbox.artifact import ArtifactCache, machine
from wasmind.sandbox.binary import Export, Import

if TYPE_CHECKING:
    from pathlib import Path

CODE = b"native code"


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    made = ArtifactCache(tmp_path / "artifacts")
    made.prepare()
    return made


def keep(cache: ArtifactCache, key: str, code: bytes = CODE) -> Artifact:
    handle, temporary = cache.temporary()
    with open(handle, "wb") as file:
        file.write(code)
    artifact = Artifact(
        path=temporary,
        digest="d" * 64,
        size=3,
        profile="roomy",
        stack=1 << 20,
        outline=Outline(
            (Import("host", "add", "function", Signature((Kind.I32, Kind.F64), (Kind.I64,))),),
            (Export("memory", "memory"),),
            (65536,),
            (),
        ),
        code_size=len(code),
        code_digest=hashlib.sha256(code).hexdigest(),
    )
    return cache.keep(key, temporary, artifact)


def test_what_is_kept_is_found(cache: ArtifactCache) -> None:
    kept = keep(cache, "key")
    assert cache.find("key") == kept
    assert cache.find("other") is None
    assert kept.path.read_bytes() == CODE
    assert kept.path.parent == cache.directory


def test_a_cache_may_be_moved(cache: ArtifactCache, tmp_path: Path) -> None:
    keep(cache, "key")
    cache.directory.rename(tmp_path / "moved")
    moved = ArtifactCache(tmp_path / "moved")
    found = moved.find("key")
    assert found is not None
    assert found.path.parent == tmp_path / "moved"


def test_a_record_cannot_point_outside_the_cache(cache: ArtifactCache, tmp_path: Path) -> None:
    kept = keep(cache, "key")
    (tmp_path / "evil").write_bytes(CODE)
    record = cache.directory / "key.json"
    record.write_bytes(record.read_bytes().replace(str(kept.path).encode(), str(tmp_path / "evil").encode()))
    assert cache.find("key") is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"path": 3}', b"\xff"])
def test_a_damaged_record_is_no_record(cache: ArtifactCache, content: bytes) -> None:
    keep(cache, "key")
    (cache.directory / "key.json").write_bytes(content)
    assert cache.find("key") is None


def test_the_later_of_two_compilations_leaves_the_earlier_ones_code(cache: ArtifactCache) -> None:
    """A process that has found the first may map it after the second has been kept."""
    first = keep(cache, "key", b"one")
    second = keep(cache, "key", b"two")
    assert cache.find("key") == second
    assert first.verify()


def test_the_directory_must_not_be_writable_by_others(cache: ArtifactCache) -> None:
    cache.directory.chmod(0o770)
    with pytest.raises(ProgramError, match="is not private") as caught:
        cache.prepare()
    assert "chmod 700" in (caught.value.remedy or "")


def test_verification_reads_the_code(cache: ArtifactCache) -> None:
    kept = keep(cache, "key")
    assert kept.verify()
    kept.path.write_bytes(CODE[::-1])
    assert not kept.verify()
    assert not msgspec.structs.replace(kept, path=cache.directory / "nothing").verify()


def test_the_machine_is_named_by_version_and_processor() -> None:
    assert "wasmtime 50." in machine()
    assert machine() == machine()


def test_what_was_left_half_made_is_cleared_away(cache: ArtifactCache) -> None:
    for age in (0, 7200):
        handle, temporary = cache.temporary()
        os.close(handle)
        os.utime(temporary, (time.time() - age,) * 2)
    kept = keep(cache, "key")
    cache.prepare()
    assert len(list(cache.directory.glob(".*"))) == 1
    assert kept.verify()
