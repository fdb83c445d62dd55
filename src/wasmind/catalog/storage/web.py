"""Models on web servers: one file, or a manifest with files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from wasmind.catalog.storage import manifest as manifests
from wasmind.catalog.storage.manifest import Manifest
from wasmind.catalog.storage.place import failed
from wasmind.errors import ConfigError, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from wasmind.catalog.storage.manifest import StoredFile
    from wasmind.config import Storage

TIMEOUT = 30.0
"""Seconds that connecting, and each part of an answer, may take."""
_AS_IT_IS = {"Accept-Encoding": "identity"}
_BEYOND = 416


class WebPlace:
    """A file at a URL, or the files beside a `wasmind.json`. Writing is not for it."""

    def __init__(self, uri: str, settings: Storage) -> None:
        if urlsplit(uri).scheme == "http" and not settings.insecure:
            raise ConfigError(
                f"{uri} is read without TLS",
                remedy=f'use https, or allow it: [storage."{uri.rpartition("/")[0]}"] insecure = true',
            )
        headers = {**_AS_IT_IS, **settings.all_options()}
        self._uri = uri
        self._client = httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers=headers)
        self.described = urlsplit(uri).path.rpartition("/")[2] == manifests.NAME

    def manifest(self) -> Manifest:
        """What the manifest says."""
        return Manifest.decode(b"".join(self._get(self._uri, 0, manifests.MAX_BYTES + 1)), self._uri)

    def single(self) -> tuple[str, int]:
        """The URL's last part, and the size that the server tells."""
        try:
            head = self._client.head(self._uri)
            head.raise_for_status()
            size = int(head.headers["content-length"])
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise failed(self._uri, error) from error
        return unquote(urlsplit(self._uri).path.rpartition("/")[2]), size

    def read(self, file: StoredFile, offset: int) -> Iterator[bytes]:
        """A file's bytes."""
        url = urljoin(self._uri, file.name) if self.described else self._uri
        yield from self._get(url, offset, file.size - offset + 1)

    def write(self, manifest: Manifest, files: Mapping[str, Path]) -> str:
        """Refused: how a web server takes files is its own matter."""
        raise UnsupportedOperation(
            f"models cannot be pushed to {self._uri}",
            remedy="push to a registry (oci://) or an object store (s3://)",
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _get(self, url: str, offset: int, most: int) -> Iterator[bytes]:
        """No more than `most` bytes and the chunk they end in."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            with self._client.stream("GET", url, headers=headers) as answer:
                if offset and answer.status_code in (200, _BEYOND):
                    return
                answer.raise_for_status()
                for chunk in answer.iter_raw():
                    yield chunk
                    most -= len(chunk)
                    if most <= 0:
                        return
        except httpx.HTTPError as error:
            raise failed(url, error) from error
