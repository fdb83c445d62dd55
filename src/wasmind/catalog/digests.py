"""Content hashes, remembered for as long as the files stay as they are."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog import stored
from wasmind.errors import ModelLoadFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wasmind.catalog.files import ModelFile


class Stamp(msgspec.Struct, frozen=True):
    """What a file's status says; while it stays the same, so do the bytes."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, descriptor: int) -> Stamp:
        """The stamp of an open file."""
        found = os.fstat(descriptor)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class _Known(msgspec.Struct, frozen=True):
    stamp: Stamp
    digest: str


class Digests:
    """SHA-256 of files and of models, in hexadecimal.

    `path`, where given, keeps them from one start to the next, so that a node does not read gigabytes
    before it serves.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._before: dict[str, _Known] = {}
        self._known: dict[str, _Known] = {}
        if path is not None:
            self._before = stored.read(path, dict[str, _Known]) or {}

    def of_file(self, path: str | Path) -> str:
        """What `sha256sum` prints for it. Raises OSError, and ModelLoadFailed for a file that changes
        meanwhile."""
        name = str(path)
        with open(name, "rb") as file:
            stamp = Stamp.of(file.fileno())
            known = self._known.get(name) or self._before.get(name)
            if known is None or known.stamp != stamp:
                known = _Known(stamp, hashlib.file_digest(file, "sha256").hexdigest())
                if Stamp.of(file.fileno()) != stamp:
                    raise ModelLoadFailed(
                        f"{name} changed while it was read",
                        remedy="put a new file in place with a rename, so that nobody sees half of it",
                    )
        self._known[name] = known
        return known.digest

    def of_model(self, files: Sequence[ModelFile]) -> str:
        """A model's version: its file's digest, or of several files one digest over their names and digests.

        Raises ModelLoadFailed.
        """
        try:
            digests = [self.of_file(file.path) for file in files]
        except OSError as error:
            raise ModelLoadFailed(
                f"the model's file {error.filename} cannot be read",
                cause=error.strerror,
                remedy="check the rights of the file",
            ) from error
        if len(files) == 1:
            return digests[0]
        root = os.path.dirname(files[0].path)
        lines = [
            f"{digest}  {os.path.relpath(file.path, root)}\n"
            for file, digest in zip(files, digests, strict=True)
        ]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def save(self) -> None:
        """Keep what was asked for since the start, and forget the rest. Raises OSError."""
        if self._path is not None and self._known != self._before:
            stored.write(self._path, self._known)
            self._before = dict(self._known)
