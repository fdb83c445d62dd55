"""The node's own store of models that are kept elsewhere: each artifact once, under its digest.

STORE/artifacts/DIGEST/…    complete, verified, never changed
STORE/partial/SHA256        what has come of a file so far; a transfer goes on from its end
STORE/resolved              what each URI was when it was last asked
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from wasmind.catalog import stored
from wasmind.catalog.storage.manifest import NAME, Manifest, StoredFile, is_plain
from wasmind.catalog.storage.place import CHUNK
from wasmind.errors import ModelLoadFailed, StorageFailed, TransferBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Read: TypeAlias = Callable[[StoredFile, int], Iterator[bytes]]
    Arrived: TypeAlias = Callable[[int], object]

STORE = "store"
"""Its directory, within a node's state."""
SPARE = 256 << 20
"""Bytes of the disk that a model never takes."""


class Store:
    """A directory of artifacts. Several processes may use it at once."""

    def __init__(self, directory: Path) -> None:
        self._artifacts = directory / "artifacts"
        self._partial = directory / "partial"
        self._resolved = directory / "resolved"

    def find(self, digest: str) -> Path | None:
        """An artifact's directory, or None if it is not here."""
        path = self._artifacts / digest
        return path if path.is_dir() else None

    def add(self, manifest: Manifest, read: Read, arrived: Arrived) -> Path:
        """Bring an artifact here, as far as it is not; `arrived` hears of bytes as they come.

        Raises StorageFailed; what has come stays, and the next call goes on from there.
        """
        found = self.find(manifest.digest)
        if found is not None:
            return found
        self._partial.mkdir(parents=True, exist_ok=True)
        self._artifacts.mkdir(parents=True, exist_ok=True)
        self._check_room(manifest)
        place = self._artifacts / manifest.digest
        building = tempfile.mkdtemp(dir=self._artifacts, prefix=".")
        try:
            for file in manifest.files:
                target = os.path.join(building, file.name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with self._taken(file) as part:
                    self._complete(file, part, read, arrived)
                    os.fchmod(part.fileno(), 0o444)
                    os.replace(part.name, target)
            os.chmod(building, 0o755)  # noqa: S103 - models' processes read it
            try:
                os.rename(building, place)
            except OSError:
                if not place.is_dir():  # another process was first
                    raise
        except OSError as error:
            raise StorageFailed(
                f"the model cannot be stored in {self._artifacts.parent}", cause=str(error)
            ) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return place

    def receive(self, chunks: Iterable[bytes]) -> str:
        """Take a file whose digest nobody told; it waits among the partial ones. Returns its digest."""
        self._partial.mkdir(parents=True, exist_ok=True)
        hashed = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self._partial, delete=False) as file:
            try:
                for chunk in chunks:
                    hashed.update(chunk)
                    file.write(chunk)
                os.replace(file.name, self._partial / hashed.hexdigest())
            except BaseException:
                os.unlink(file.name)
                raise
        return hashed.hexdigest()

    def remember(self, uri: str, digest: str) -> None:
        """Keep what `uri` is now, for when it cannot be asked."""
        known = self._known()
        if known.get(uri) != digest:
            stored.write(self._resolved, {**known, uri: digest})

    def recall(self, uri: str) -> str | None:
        """What `uri` was when it was last asked, if that is here."""
        digest = self._known().get(uri)
        return digest if digest is not None and self.find(digest) else None

    def _known(self) -> dict[str, str]:
        return stored.read(self._resolved, dict[str, str]) or {}

    def _check_room(self, manifest: Manifest) -> None:
        free = shutil.disk_usage(self._artifacts).free
        if manifest.size + SPARE > free:
            raise StorageFailed(
                f"the model needs {manifest.size >> 20} MiB, and {free >> 20} MiB of the disk are free",
                remedy=f"make room for it in {self._artifacts.parent}",
            )

    @contextmanager
    def _taken(self, file: StoredFile) -> Iterator[BinaryIO]:
        """What has come of a file, for this process alone: another one waits here until it is complete."""
        path = self._partial / file.sha256
        while True:
            part = path.open("ab+")
            fcntl.flock(part, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(part.fileno()), path.stat()):
                break
            part.close()  # the other one has completed it, and moved it away
        with part:
            yield part

    def _complete(self, file: StoredFile, part: BinaryIO, read: Read, arrived: Arrived) -> None:
        """Bring the rest of a file and verify it. What is wrong is thrown away."""
        part.seek(0)
        hashed = hashlib.sha256()
        while chunk := part.read(CHUNK):
            hashed.update(chunk)
        have = part.tell()
        if have > file.size:
            self._restart(part)
            hashed, have = hashlib.sha256(), 0
        arrived(have)
        if have < file.size:
            came = False
            for chunk in read(file, have):
                came = True
                have += len(chunk)
                if have > file.size:
                    break
                part.write(chunk)
                hashed.update(chunk)
                arrived(len(chunk))
            part.flush()
            if not came and part.tell():
                self._restart(part)
                arrived(-have)
                raise TransferBroken(f"{file.name} cannot be continued, and is begun again")
        if have < file.size:
            raise TransferBroken(f"{file.name} broke off after {have} of {file.size} bytes")
        if have > file.size or hashed.hexdigest() != file.sha256:
            self._restart(part)
            raise ModelLoadFailed(
                f"{file.name} is not what its digest says",
                cause=f"expected {file.size} bytes with sha256 {file.sha256}, got {hashed.hexdigest()}",
                remedy="if the model was replaced on purpose, take the new digest into the configuration",
            )

    @staticmethod
    def _restart(part: BinaryIO) -> None:
        part.seek(0)
        part.truncate()


def read_directory(path: Path) -> tuple[Manifest, dict[str, Path]]:
    """The manifest of a file, or of all files below a directory, and where each is.

    Links are left out. Raises ModelLoadFailed, OSError.
    """
    if path.is_file():
        found = {path.name: path}
    else:
        found = {
            file.relative_to(path).as_posix(): file
            for file in sorted(path.rglob("*"))
            if file.is_file() and not file.is_symlink() and file.name != NAME
        }
    for name in found:
        if not is_plain(name):
            raise ModelLoadFailed(
                f"the file {name!r} cannot be pushed",
                remedy="name it with letters, digits and . _ + - alone",
            )
    if not found:
        raise ModelLoadFailed(f"{path} holds no files", remedy="give the model's file or directory")
    files = []
    for name, file in found.items():
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            files.append(StoredFile(name=name, size=opened.tell(), sha256=digest))
    return Manifest.of(files), found
