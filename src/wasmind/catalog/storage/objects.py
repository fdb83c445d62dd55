"""Models in object stores: S3 and what speaks its language, Google's, Azure's. By obstore."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from wasmind.catalog.storage import manifest as manifests
from wasmind.catalog.storage.manifest import Manifest
from wasmind.catalog.storage.place import CHUNK, failed
from wasmind.errors import ModelLoadFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from obstore.store import RetryConfig

    from wasmind.catalog.storage.manifest import StoredFile
    from wasmind.config import Storage

MODELS = (".onnx", ".xml", ".pt", ".tflite", ".gguf")
"""How a single file's name ends; every other URI is a prefix with a manifest below it."""

_RETRIES: RetryConfig = {
    "max_retries": 3,
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=2), "base": 2},
    "retry_timeout": timedelta(seconds=20),
}


class ObjectPlace:
    """A file, or the files below a prefix, one of which is the manifest."""

    def __init__(self, uri: str, settings: Storage) -> None:
        bucket, _, key = uri.partition("://")[2].partition("/")
        options: Any = settings.all_options()
        client: Any = {"allow_http": True} if settings.insecure else None
        try:
            self._store = from_url(
                f"{uri.partition('://')[0]}://{bucket}",
                config=options or None,
                client_options=client,
                retry_config=_RETRIES,
            )
        except (BaseError, ValueError) as error:
            raise failed(uri, error, "check the options of its [storage] section") from error
        self._uri = uri.rstrip("/")
        self._key = key.rstrip("/")
        self.described = not self._key.endswith(MODELS)

    def manifest(self) -> Manifest:
        """What the manifest says."""
        path = self._path(manifests.NAME)
        try:
            size = obstore.head(self._store, path)["size"]
            if size > manifests.MAX_BYTES:
                raise ModelLoadFailed(f"the manifest of {self._uri} has {size} bytes")
            return Manifest.decode(bytes(obstore.get(self._store, path).bytes()), self._uri)
        except FileNotFoundError as error:
            raise ModelLoadFailed(
                f"{self._uri} holds no {manifests.NAME}",
                remedy="put the model there with `wasmind models push`, or name a single file",
            ) from error
        except (BaseError, OSError) as error:
            raise failed(self._uri, error) from error

    def single(self) -> tuple[str, int]:
        """The key's last part, and the object's size."""
        try:
            return self._key.rpartition("/")[2], obstore.head(self._store, self._key)["size"]
        except (BaseError, OSError) as error:
            raise failed(self._uri, error) from error

    def read(self, file: StoredFile, offset: int) -> Iterator[bytes]:
        """A file's bytes."""
        path = self._path(file.name) if self.described else self._key
        try:
            found = obstore.get(self._store, path, options={"range": {"offset": offset}} if offset else None)
            for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            raise failed(f"{self._uri} ({file.name})", error) from error

    def write(self, manifest: Manifest, files: Mapping[str, Path]) -> str:
        """Put the files there, and their manifest last: who reads it finds what it names."""
        try:
            if not self.described:
                if len(files) != 1:
                    raise ModelLoadFailed(
                        f"the model has {len(files)} files, and {self._uri} names one",
                        remedy="name a prefix, one that does not end like a model's file",
                    )
                obstore.put(self._store, self._key, *files.values())
                return self._uri
            for name, path in files.items():
                obstore.put(self._store, self._path(name), path)
            obstore.put(self._store, self._path(manifests.NAME), manifest.encode())
        except (BaseError, OSError) as error:
            raise failed(self._uri, error) from error
        return self._uri

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, name: str) -> str:
        return f"{self._key}/{name}" if self._key else name
