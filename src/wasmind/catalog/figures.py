"""What running a model took on this node, by version and runtime, kept from one start to the next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog import stored

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One runtime's figures, measured when the model was loaded last."""

    runtime: str
    """The framework and its version."""
    load_ms: float
    warm_up_ms: float
    run_ms: float | None = None
    """One inference of a made-up input, once it is warm and alone; None where it could not be measured."""
    memory: int
    """Bytes its process had resident then."""
    at: float
    """Unix time."""


class _Kept(msgspec.Struct, frozen=True):
    format: int
    measured: Measured


class Figures:
    """The figures in a directory, one file for each model version and runtime."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, tuple[Measured, ...]] = {}

    def of(self, digest: str) -> tuple[Measured, ...]:
        """What is known of a model version, the newest first."""
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = self._read(digest)
        return found

    def _read(self, digest: str) -> tuple[Measured, ...]:
        if not _DIGEST.match(digest):
            return ()
        kept = (stored.read(path, _Kept) for path in self._directory.glob(f"{digest}-*.msgpack"))
        found = [one.measured for one in kept if one is not None and one.format == _FORMAT]
        return tuple(sorted(found, key=lambda one: -one.at))

    def put(self, digest: str, runtime: str, measured: Measured) -> None:
        """Keep what a runtime (by its name in the configuration) took. Raises OSError."""
        if not _DIGEST.match(digest):
            raise ValueError(f"no SHA-256 in hexadecimal: {digest!r}")
        self._known.pop(digest, None)
        stored.write(self._directory / f"{digest}-{runtime}.msgpack", _Kept(_FORMAT, measured))
