"""Signatures of models that were loaded once, kept by content hash.

A signature comes from the confined worker that loaded the model (no process outside the confinement
parses one). Keeping it lets a node describe its models, and check what a function sends, before a worker
is ready again. Of a model that is served elsewhere its server tells the signature; its runtime is `kserve`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog import stored
from wasmind.nn.signature import Signature

if TYPE_CHECKING:
    from pathlib import Path


_FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class _Kept(msgspec.Struct, frozen=True):
    format: int
    signature: Signature


class Signatures:
    """The signatures in a directory, one file for each model version and runtime."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, digest: str, runtime: str) -> Signature | None:
        """What a runtime said of the model with this digest; None if it never loaded it here."""
        kept = stored.read(self._path(digest, runtime), _Kept)
        return kept.signature if kept is not None and kept.format == _FORMAT else None

    def put(self, digest: str, runtime: str, signature: Signature) -> None:
        """Keep what a runtime says of a model. Raises OSError."""
        stored.write(self._path(digest, runtime), _Kept(_FORMAT, signature))

    def _path(self, digest: str, runtime: str) -> Path:
        if not _DIGEST.match(digest):
            raise ValueError(f"no SHA-256 in hexadecimal: {digest!r}")
        return self._directory / f"{digest}-{runtime}.msgpack"
