"""Bringing models here from where they are kept, and sending them there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
import stamina

from wasmind.catalog.storage.manifest import Manifest, StoredFile, plain_digest
from wasmind.catalog.storage.place import opened
from wasmind.catalog.storage.store import Store, read_directory
from wasmind.config import Model, Version
from wasmind.errors import ModelLoadFailed, StorageFailed, WasmindError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from wasmind.catalog.storage.place import Place
    from wasmind.config import Config, Storage

AT_ONCE = 4
"""Models that are fetched at the same time."""
stamina.instrumentation.set_on_retry_hooks(())  # an attempt that helped is no news, the last error is told

ATTEMPTS = 5
"""How often a transfer that breaks off is taken up again."""
MOST_WAIT = 5.0
"""Seconds between two attempts at most."""


class Transfer(Protocol):
    """Who is told how a transfer goes."""

    def fetching(self, uri: str, size: int) -> None:
        """A transfer of `size` bytes begins."""

    def arrived(self, uri: str, size: int) -> None:
        """So many more bytes are here; fewer, when a file is begun again."""

    def fetched(self, uri: str) -> None:
        """All is here, and verified."""


class Silent:
    """Tells nobody."""

    def fetching(self, uri: str, size: int) -> None:
        """Nothing."""

    def arrived(self, uri: str, size: int) -> None:
        """Nothing."""

    def fetched(self, uri: str) -> None:
        """Nothing."""


def fetch(
    uri: str, digest: str | None, settings: Mapping[str, Storage], store: Store, transfer: Transfer
) -> Path:
    """The model at `uri` in the store: its file, or its directory. Blocks while it is transferred.

    `digest` pins it; without one, a place that describes its models is asked anew each time, and when it
    cannot be reached, what it said last is taken. Raises ModelLoadFailed, StorageFailed, PackageMissing.
    """
    pinned = plain_digest(digest) if digest else None
    here = store.find(pinned) if pinned else None
    if here is not None:
        return _model_in(here)
    try:
        with opened(uri, settings) as place:
            manifest = _manifest(place, uri, pinned)
            directory = _bring(place, uri, manifest, store, transfer)
    except StorageFailed:
        known = None if pinned else store.recall(uri)
        if known is None:
            raise
        return _model_in(store.find(known) or _gone(uri))
    store.remember(uri, manifest.digest)
    return _model_in(directory)


def digest_of(uri: str, settings: Mapping[str, Storage], store: Store, transfer: Transfer) -> str:
    """The digest that pins what is at `uri` now, "sha256:…"; an undescribed file is fetched for it.

    Raises as `fetch`.
    """
    with opened(uri, settings) as place:
        if place.described:
            return f"sha256:{place.manifest().digest}"
        name, size = place.single()

        def chunks() -> Iterator[bytes]:
            for chunk in place.read(StoredFile(name=name, size=size, sha256="0" * 64), 0):
                transfer.arrived(uri, len(chunk))
                yield chunk

        transfer.fetching(uri, size)
        digest = store.receive(chunks())
        transfer.fetched(uri)
        return f"sha256:{digest}"


def push(path: Path, uri: str, settings: Mapping[str, Storage]) -> tuple[str, Manifest]:
    """Send a model's file or directory; gives a URI that names just this model, and its manifest.

    Raises ModelLoadFailed, StorageFailed, PackageMissing, UnsupportedOperation.
    """
    manifest, files = read_directory(path)
    with opened(uri, settings) as place:
        return place.write(manifest, files), manifest


Kept = TypeVar("Kept", Model, Version)


def localized(config: Config, store: Store, transfer: Transfer | None = None) -> Config:
    """The configuration with every model's `source` in the store, and its `path` there.

    Raises the first error, once all transfers have ended; what came stays.
    """
    each: list[Model | Version] = []
    for model in config.models.values():
        each += (model, *model.versions.values())
    if not any(one.source for one in each):
        return config
    told = transfer or Silent()

    def bring(name: str, one: Kept) -> Kept:
        if one.source is None:
            return one
        try:
            path = fetch(one.source, one.digest, config.storage, store, told)
        except WasmindError as error:
            raise type(error)(
                f"models.{name}: {error.message}", cause=error.cause, remedy=error.remedy
            ) from error
        return msgspec.structs.replace(one, path=path)

    with ThreadPoolExecutor(AT_ONCE, "fetch") as pool:
        waiting = {
            name: (
                pool.submit(bring, name, model),
                {
                    number: pool.submit(bring, f"{name}@{number}", version)
                    for number, version in model.versions.items()
                },
            )
            for name, model in config.models.items()
        }
    brought = {
        name: msgspec.structs.replace(
            whole.result(), versions={number: future.result() for number, future in versions.items()}
        )
        for name, (whole, versions) in waiting.items()
    }
    return msgspec.structs.replace(config, models=brought)


def _manifest(place: Place, uri: str, pinned: str | None) -> Manifest:
    if not place.described:
        if pinned is None:
            raise ModelLoadFailed(
                f"{uri} may only be read by its digest",
                remedy=f'set digest = "sha256:…"; `wasmind models pull {uri}` tells it',
            )
        name, size = place.single()
        return Manifest.of([StoredFile(name=name, size=size, sha256=pinned)])
    manifest = place.manifest()
    if pinned and manifest.digest != pinned:
        raise ModelLoadFailed(
            f"{uri} is another model than its digest says",
            cause=f"expected sha256:{pinned}, found sha256:{manifest.digest}",
            remedy="if the model was replaced on purpose, take the new digest into the configuration",
        )
    return manifest


def _bring(place: Place, uri: str, manifest: Manifest, store: Store, transfer: Transfer) -> Path:
    found = store.find(manifest.digest)
    if found is not None:
        return found
    for attempt in stamina.retry_context(on=StorageFailed, attempts=ATTEMPTS, wait_max=MOST_WAIT):
        with attempt:
            transfer.fetching(uri, manifest.size)
            found = store.add(manifest, place.read, lambda size: transfer.arrived(uri, size))
    transfer.fetched(uri)
    assert found is not None
    return found


def _model_in(directory: Path) -> Path:
    """The single file of an artifact, or its directory."""
    entries = list(directory.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_file() else directory


def _gone(uri: str) -> Path:
    raise StorageFailed(f"{uri} cannot be reached, and what it was is not in the store any more")
