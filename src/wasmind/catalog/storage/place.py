"""Where a model is kept, behind one small base: a registry, an object store or a web server."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from wasmind.config import OBJECT_SCHEMES, Storage
from wasmind.errors import ModelLoadFailed, PackageMissing, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from wasmind.catalog.storage.manifest import Manifest, StoredFile

CHUNK = 1 << 20
"""Bytes that are transferred and hashed at once."""


class Place(Protocol):
    """One model at one place. Its methods block; they raise StorageFailed when the place fails."""

    @property
    def described(self) -> bool:
        """Whether a manifest there says what the model consists of; if not, it is a single file."""

    def manifest(self) -> Manifest:
        """What a described model consists of. Raises ModelLoadFailed."""

    def single(self) -> tuple[str, int]:
        """The name and the size of the single file."""

    def read(self, file: StoredFile, offset: int) -> Iterator[bytes]:
        """A file's bytes from `offset` on; a place that cannot begin there gives none."""

    def write(self, manifest: Manifest, files: Mapping[str, Path]) -> str:
        """Put a model there, its files by their names; returns a URI that names just this model."""

    def close(self) -> None:
        """Let go of connections."""


@contextmanager
def opened(uri: str, settings: Mapping[str, Storage]) -> Iterator[Place]:
    """The place that `uri` names, with the settings of the longest prefix. Raises PackageMissing."""
    place = _open(uri, settings_for(uri, settings))
    try:
        yield place
    finally:
        place.close()


def settings_for(uri: str, settings: Mapping[str, Storage]) -> Storage:
    """The settings of the longest prefix of `uri` that has some."""
    fitting = [prefix for prefix in settings if _leads_to(prefix, uri)]
    return settings[max(fitting, key=len)] if fitting else Storage()


def _leads_to(prefix: str, uri: str) -> bool:
    """`s3://models` is a prefix of `s3://models/net`, not of `s3://models-of-others`."""
    rest = uri.removeprefix(prefix)
    return rest != uri and (not rest or prefix.endswith("/") or rest[0] in "/:@")


def _open(uri: str, settings: Storage) -> Place:
    scheme = uri.partition("://")[0]
    if scheme == "oci":
        _need("oras", "oci", uri)
        from wasmind.catalog.storage.oci import OciPlace

        return OciPlace(uri, settings)
    if scheme in OBJECT_SCHEMES:
        _need("obstore", "objects", uri)
        from wasmind.catalog.storage.objects import ObjectPlace

        return ObjectPlace(uri, settings)
    if scheme in ("https", "http"):
        from wasmind.catalog.storage.web import WebPlace

        return WebPlace(uri, settings)
    raise ModelLoadFailed(
        f"{uri} names no place that is known",
        cause=f"its scheme is {scheme!r}",
        remedy=f"use oci, https or one of {', '.join(OBJECT_SCHEMES)}",
    )


def _need(package: str, extra: str, uri: str) -> None:
    if find_spec(package) is None:
        raise PackageMissing(
            f"the package {package} is not installed",
            cause=f"{uri} is read with it",
            remedy=f"pip install 'wasmind[{extra}]'",
        )


def failed(uri: str, why: object, remedy: str | None = None) -> StorageFailed:
    """The error of a place that does not give what was asked for."""
    return StorageFailed(f"{uri} cannot be reached", cause=str(why) or type(why).__name__, remedy=remedy)
