"""What a stored model consists of: its files, each with its size and SHA-256.

A manifest is told by the digest of its own text, so pinning one digest pins every byte. Names come from
whoever wrote the manifest: they may be hostile, and only plain relative names are taken.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated

import msgspec

from wasmind.errors import ModelLoadFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "wasmind.json"
"""The manifest's file, beside a model's files."""
MAX_BYTES = 1 << 20
"""The largest manifest that is read."""
MAX_FILES = 4096
MAX_SIZE = 1 << 40

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})\Z", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}\Z", re.ASCII)
_DEPTH = 8

Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class StoredFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a model."""

    name: str
    """Its path within the model, with `/`."""
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_SIZE)]
    """In bytes."""
    sha256: Hex


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's files, in the order of their names."""

    files: Annotated[tuple[StoredFile, ...], msgspec.Meta(min_length=1, max_length=MAX_FILES)]

    @classmethod
    def of(cls, files: Iterable[StoredFile]) -> Manifest:
        """The manifest of these files. Raises ModelLoadFailed for names that are not plain."""
        manifest = cls(files=tuple(sorted(files, key=lambda file: file.name)))
        manifest.check()
        return manifest

    @classmethod
    def decode(cls, data: bytes, where: str) -> Manifest:
        """Read a manifest that was found at `where`. Raises ModelLoadFailed."""
        if len(data) > MAX_BYTES:
            raise _refused(where, f"it is larger than {MAX_BYTES} bytes")
        try:
            manifest = _decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise _refused(where, str(error)) from error
        manifest.check(where)
        return manifest

    def encode(self) -> bytes:
        """The text that `digest` is taken of; the same files always give the same."""
        return msgspec.json.encode(self)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal: of the file where there is one, else of the manifest's text."""
        if len(self.files) == 1:
            return self.files[0].sha256
        return hashlib.sha256(self.encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def check(self, where: str = "the model") -> None:
        """Raises ModelLoadFailed for names that lead anywhere else, or stand for two files."""
        names = [file.name for file in self.files]
        for name in names:
            if not is_plain(name):
                raise _refused(where, f"a file is called {name!r}; names are plain and relative")
        for before, after in zip(sorted(names), sorted(names)[1:], strict=False):
            if before == after or after.startswith(f"{before}/"):
                raise _refused(where, f"{before!r} stands for two things")
        if names != sorted(names):
            raise _refused(where, "its files are not in the order of their names")


_decoder = msgspec.json.Decoder(Manifest)  # made once: several threads read manifests


def is_plain(name: str) -> bool:
    """Whether a file's name leads nowhere but into the model's own directory."""
    segments = name.split("/")
    return len(segments) <= _DEPTH and all(_SEGMENT.match(segment) for segment in segments)


def plain_digest(text: str) -> str:
    """The hexadecimal of `sha256:…` or of a bare digest. Raises ValueError."""
    found = _DIGEST.match(text)
    if not found:
        raise ValueError(f'a digest is "sha256:" and 64 hexadecimal digits; got {text!r}')
    return found[1]


def _refused(where: str, why: str) -> ModelLoadFailed:
    return ModelLoadFailed(
        f"the manifest of {where} cannot be used",
        cause=why,
        remedy="push the model again: wasmind models push",
    )
