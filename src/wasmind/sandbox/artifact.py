"""Artifacts: compiled programs on disk, each known by what it was compiled from and for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import msgspec

from wasmind.errors import ProgramError
from wasmind.sandbox import ffi
from wasmind.sandbox.binary import Export, Import, Outline

_MAKING = ".making-"
_ABANDONED_S = 3600.0


class Artifact(msgspec.Struct, frozen=True):
    """A compiled program.

    `path` is a file of native code: it is only ever made here, in a directory that nobody else may write to.
    `digest` is the SHA-256 of the program's bytes and `size` their number; `profile` and `stack` are the
    configuration it was compiled for; `code_size` and `code_digest` say what the file holds.
    """

    path: Path
    digest: str
    size: int
    profile: str
    stack: int
    outline: Outline
    code_size: int
    code_digest: str

    @property
    def imports(self) -> tuple[Import, ...]:
        """What the program wants from its host."""
        return self.outline.imports

    @property
    def exports(self) -> tuple[Export, ...]:
        """What the program offers."""
        return self.outline.exports

    def verify(self) -> bool:
        """Read the file and say whether it is what was compiled."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.code_digest
        except OSError:
            return False


@cache
def machine() -> str:
    """What native code depends on besides the configuration: Wasmtime's version and the processor."""
    features = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            features = next((line for line in file if line.lower().startswith(("flags", "features"))), "")
    except OSError:
        features = os.uname().version
    return f"wasmtime {ffi.version()} {sys.platform} {os.uname().machine} {features}"


def _path(kind: type, value: object) -> Path:
    return Path(str(value))


# Made once, here: msgspec learns a type on its first use, and two threads that do so at once crash Python.
_artifacts = msgspec.json.Decoder(Artifact, dec_hook=_path)


class ArtifactCache:
    """Artifacts in a directory that belongs to its owner alone.

    A record (`KEY.json`) names its file of code, whose name holds its digest: it is written after the code,
    both by renaming, so that many processes may compile the same program at once and none ever sees half of
    one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def prepare(self) -> None:
        """Make the directory, and clear away what was left half made. Raises ProgramError if others may write
        to it."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.directory.stat()
        except OSError as error:
            raise ProgramError(f"the cache {self.directory} cannot be used", cause=error.strerror) from error
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise ProgramError(
                f"the cache {self.directory} is not private",
                cause="compiled programs are native code, and others could replace them",
                remedy=f"make it yours alone: chmod 700 {self.directory}",
            )
        for left in self.directory.glob(f"{_MAKING}*"):
            with contextlib.suppress(OSError):
                if left.stat().st_mtime < time.time() - _ABANDONED_S:
                    left.unlink()

    def find(self, key: str) -> Artifact | None:
        """Return the artifact under this key; None when there is none or it is damaged."""
        try:
            artifact = _artifacts.decode(self._record(key).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        artifact = msgspec.structs.replace(artifact, path=self.directory / artifact.path.name)
        return artifact if artifact.verify() else None

    def temporary(self) -> tuple[int, Path]:
        """Make a new file, readable by its owner alone, and open it for writing; `keep` gives it its name."""
        handle, name = tempfile.mkstemp(prefix=_MAKING, dir=self.directory)
        return handle, Path(name)

    def keep(self, key: str, temporary: Path, artifact: Artifact) -> Artifact:
        """Give the code and its record their names."""
        path = self.directory / f"{key}-{artifact.code_digest[:16]}.cwasm"
        artifact = msgspec.structs.replace(artifact, path=path)
        os.replace(temporary, path)
        handle, name = self.temporary()
        with open(handle, "wb") as file:
            file.write(msgspec.json.encode(artifact, enc_hook=str))
        os.replace(name, self._record(key))
        return artifact

    def _record(self, key: str) -> Path:
        return self.directory / f"{key}.json"
