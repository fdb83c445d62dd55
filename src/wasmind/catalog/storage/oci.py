"""Models as OCI artifacts in a registry: one layer for each file, named by its title. By oras.

The artifact's type is `application/vnd.wasmind.model.v1`; artifacts of others are read too, as long as each
layer has a title and is a file. Layers are never unpacked.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import oras.client
import oras.defaults
import oras.oci
import requests

from wasmind.catalog.storage import manifest as manifests
from wasmind.catalog.storage.manifest import Manifest, StoredFile
from wasmind.catalog.storage.place import CHUNK, failed
from wasmind.errors import ModelLoadFailed, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wasmind.config import Storage

ARTIFACT = "application/vnd.wasmind.model.v1"
CONFIG = "application/vnd.wasmind.model.config.v1+json"
LAYER = "application/octet-stream"
PART = 64 << 10
"""Bytes that are read at once; what has come of them when a connection breaks is lost."""

_ACCEPTED = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_TITLE = "org.opencontainers.image.title"
_PARTIAL = 206
_FAULTS = (requests.RequestException, ValueError, OSError, jsonschema.ValidationError)
"""What oras raises: of its own it has ValueError alone."""


class _Layer(msgspec.Struct, frozen=True):
    digest: str
    size: int
    annotations: dict[str, str] = {}


class _Artifact(msgspec.Struct, frozen=True):
    layers: list[_Layer]


_artifacts = msgspec.json.Decoder(_Artifact)  # made once: several threads read them


class OciPlace:
    """An artifact: `oci://HOST/REPOSITORY:TAG`, or `…@sha256:…`, which says exactly which."""

    described = True

    def __init__(self, uri: str, settings: Storage) -> None:
        self._uri = uri
        self._client = oras.client.OrasClient(insecure=settings.insecure)
        try:
            self._name = self._client.get_container(uri.removeprefix("oci://"))
        except ValueError as error:
            raise failed(uri, error, "write oci://HOST/REPOSITORY:TAG") from error
        options = settings.all_options()
        if "username" in options:
            self._client.auth.set_basic_auth(options["username"], options.get("password", ""))
        else:
            self._client.auth.load_configs(self._name)  # what `docker login` left

    def manifest(self) -> Manifest:
        """What the artifact consists of; where the URI has a digest, the artifact is held against it."""
        url = f"{self._client.prefix}://{self._name.manifest_url()}"
        data = self._answer(url, {"Accept": _ACCEPTED}).content
        pinned = self._name.digest
        if pinned and pinned != f"sha256:{hashlib.sha256(data).hexdigest()}":
            raise ModelLoadFailed(f"the registry answers another artifact than {self._uri}")
        if len(data) > manifests.MAX_BYTES:
            raise ModelLoadFailed(f"the manifest of {self._uri} is larger than {manifests.MAX_BYTES} bytes")
        try:
            found = _artifacts.decode(data)
            files = [
                StoredFile(
                    name=layer.annotations.get(_TITLE, ""),
                    size=layer.size,
                    sha256=manifests.plain_digest(layer.digest),
                )
                for layer in found.layers
            ]
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ModelLoadFailed(
                f"{self._uri} is no artifact of a model",
                cause=str(error),
                remedy="push the model with `wasmind models push`, or `oras push` with one file a layer",
            ) from error
        return Manifest.of(files)

    def single(self) -> tuple[str, int]:
        """Never asked for: an artifact is described."""
        raise UnsupportedOperation("an artifact says what it consists of")

    def read(self, file: StoredFile, offset: int) -> Iterator[bytes]:
        """A layer's bytes."""
        url = f"{self._client.prefix}://{self._name.get_blob_url(f'sha256:{file.sha256}')}"
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with self._answer(url, headers) as answer:
            if offset and answer.status_code != _PARTIAL:
                return
            try:
                yield from answer.iter_content(PART)
            except requests.RequestException as error:
                raise failed(f"{self._uri} ({file.name})", error) from error

    def write(self, manifest: Manifest, files: Mapping[str, Path]) -> str:
        """Upload the layers that the registry does not have, then the artifact."""
        artifact: dict[str, Any] = oras.oci.NewManifest()
        artifact["artifactType"] = ARTIFACT
        try:
            for file in manifest.files:
                layer = oras.oci.NewLayer(str(files[file.name]), media_type=LAYER)
                layer["annotations"] = {_TITLE: file.name}
                self._upload(files[file.name], layer)
                artifact["layers"].append(layer)
            with tempfile.NamedTemporaryFile() as config:
                config.write(b"{}")
                config.flush()
                artifact["config"], _ = oras.oci.ManifestConfig(config.name, CONFIG)
                artifact["config"].pop("annotations", None)
                self._upload(Path(config.name), artifact["config"])
            answer = self._client.upload_manifest(artifact, self._name)
            self._check(answer)
        except _FAULTS as error:
            raise failed(self._uri, error) from error
        digest = answer.headers.get("Docker-Content-Digest", "")
        name = f"{self._name.registry}/{self._name.api_prefix}"
        return f"oci://{name}@{digest}" if digest else self._uri

    def close(self) -> None:
        """Close its connections."""
        self._client.session.close()

    def _upload(self, path: Path, layer: dict[str, Any]) -> None:
        self._check(self._client.upload_blob(str(path), self._name, layer))

    def _answer(self, url: str, headers: dict[str, str]) -> requests.Response:
        try:
            answer: requests.Response = self._client.do_request(url, "GET", headers=headers, stream=True)
        except _FAULTS as error:
            raise failed(self._uri, error) from error
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return answer
        self._check(answer)
        return answer

    def _check(self, answer: requests.Response) -> None:
        if not answer.ok:
            words = answer.text[:500] if len(answer.content) < CHUNK else ""
            raise failed(
                self._uri,
                f"{answer.status_code} {answer.reason} {words}".strip(),
                'give `username` and `password` in the secrets of its [storage."oci://HOST"] section'
                if answer.status_code in (401, 403)
                else None,
            )
