"""Each kind of place, against a real one: what is pushed there comes back, verified."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from support.storage import free_port
from wasmind.catalog.storage.fetch import Silent, digest_of, fetch, push
from wasmind.catalog.storage.store import Store, read_directory
from wasmind.config import Storage
from wasmind.errors import ConfigError, ModelLoadFailed, StorageFailed, UnsupportedOperation

if TYPE_CHECKING:
    from catalog.storage.conftest import Watcher
    from support.storage import WebServer


def same(one: Path, other: Path) -> bool:
    return read_directory(one)[0] == read_directory(other)[0]


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_registry_keeps_a_model(registry: str, model: Path, tmp_path: Path, watcher: Watcher) -> None:
    settings = {f"oci://{registry}": Storage(insecure=True)}
    exact, manifest = push(model, f"oci://{registry}/team/net:1", settings)
    assert exact.startswith(f"oci://{registry}/team/net@sha256:")
    for uri in (f"oci://{registry}/team/net:1", exact):
        store = Store(tmp_path / uri.replace("/", "_"))
        path = fetch(uri, None, settings, store, watcher)
        assert same(path, model)
        assert path.name == manifest.digest
        assert watcher.sizes[uri] == watcher.came[uri] == manifest.size
    assert watcher.done == [f"oci://{registry}/team/net:1", exact]


def test_a_tag_that_moved_is_fetched_anew_and_a_pin_refuses_it(
    registry: str, model: Path, tmp_path: Path
) -> None:
    settings = {f"oci://{registry}": Storage(insecure=True)}
    uri = f"oci://{registry}/moving:latest"
    store = Store(tmp_path / "store")
    before, first = push(model, uri, settings)
    assert fetch(uri, None, settings, store, Silent()).name == first.digest
    (model / "model.xml").write_bytes(b"<net version='2'/>")
    _, second = push(model, uri, settings)
    assert fetch(uri, None, settings, store, Silent()).name == second.digest
    assert fetch(before, None, settings, store, Silent()).name == first.digest
    with pytest.raises(ModelLoadFailed, match="another model than its digest says"):
        fetch(uri, f"sha256:{first.digest}", settings, Store(tmp_path / "other"), Silent())


def test_an_artifact_of_somebody_else_is_read_if_it_has_titles(registry: str, tmp_path: Path) -> None:
    import oras.client

    (tmp_path / "net.onnx").write_bytes(b"weights")
    client = oras.client.OrasClient(insecure=True)
    client.push(
        f"{registry}/theirs:1",
        files=[f"{tmp_path / 'net.onnx'}:application/vnd.other"],
        disable_path_validation=True,
        quiet=True,
    )
    settings = {"oci://": Storage(insecure=True)}
    path = fetch(f"oci://{registry}/theirs:1", None, settings, Store(tmp_path / "store"), Silent())
    assert path.name == "net.onnx"
    assert path.read_bytes() == b"weights"


def test_a_registry_without_the_artifact_says_so(registry: str, tmp_path: Path) -> None:
    settings = {f"oci://{registry}": Storage(insecure=True)}
    with pytest.raises(StorageFailed) as caught:
        fetch(f"oci://{registry}/nothing:1", None, settings, Store(tmp_path), Silent())
    assert "404" in str(caught.value.cause)


@pytest.mark.slow
def test_an_object_store_keeps_a_model(
    s3: dict[str, Storage], model: Path, tmp_path: Path, watcher: Watcher
) -> None:
    uri, manifest = push(model, "s3://models/team/net", s3)
    assert uri == "s3://models/team/net"
    path = fetch(uri, f"sha256:{manifest.digest}", s3, Store(tmp_path / "store"), watcher)
    assert same(path, model)
    assert watcher.came[uri] == manifest.size


@pytest.mark.slow
def test_an_object_store_keeps_a_single_file(s3: dict[str, Storage], tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"weights")
    uri, manifest = push(tmp_path / "net.onnx", "s3://models/single/net.onnx", s3)
    with pytest.raises(ModelLoadFailed, match="only be read by its digest"):
        fetch(uri, None, s3, Store(tmp_path / "store"), Silent())
    store = Store(tmp_path / "store")
    assert digest_of(uri, s3, store, Silent()) == f"sha256:{manifest.digest}"
    path = fetch(uri, manifest.digest, s3, store, Silent())
    assert path.read_bytes() == b"weights"


@pytest.mark.slow
def test_a_prefix_without_a_manifest_is_explained(s3: dict[str, Storage], tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed) as caught:
        fetch("s3://models/empty", None, s3, Store(tmp_path), Silent())
    assert "models push" in str(caught.value.remedy)


@pytest.mark.slow
def test_wrong_credentials_are_explained(endpoint: str, tmp_path: Path) -> None:
    options = {"endpoint": endpoint, "access_key_id": "reader", "secret_access_key": "a guess"}
    settings = {"s3://models": Storage(options=options, insecure=True)}
    with pytest.raises(StorageFailed):
        fetch("s3://models/team/net", None, settings, Store(tmp_path), Silent())


def test_a_web_server_gives_a_file_by_its_digest(web: WebServer, tmp_path: Path, watcher: Watcher) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "served" / "net.onnx").write_bytes(data)
    uri = f"{web.url}/net.onnx"
    path = fetch(uri, sha256(data), {}, Store(tmp_path / "store"), watcher)
    assert path.read_bytes() == data
    assert path.name == "net.onnx"
    assert watcher.came[uri] == len(data)


def test_a_web_server_gives_the_files_of_a_manifest(web: WebServer, model: Path, tmp_path: Path) -> None:
    served = tmp_path / "served" / "net"
    model.rename(served)
    manifest, _ = read_directory(served)
    (served / "wasmind.json").write_bytes(manifest.encode())
    path = fetch(f"{web.url}/net/wasmind.json", None, {}, Store(tmp_path / "store"), Silent())
    assert same(path, served)


def test_a_file_that_is_not_what_its_digest_says_is_not_stored(web: WebServer, tmp_path: Path) -> None:
    (tmp_path / "served" / "net.onnx").write_bytes(b"something else")
    store = Store(tmp_path / "store")
    with pytest.raises(ModelLoadFailed, match="not what its digest says"):
        fetch(f"{web.url}/net.onnx", sha256(b"the weights"), {}, store, Silent())
    assert store.find(hashlib.sha256(b"the weights").hexdigest()) is None
    assert not [path for path in (tmp_path / "store" / "partial").iterdir() if path.stat().st_size]


def test_a_transfer_that_breaks_off_is_continued(web: WebServer, tmp_path: Path, watcher: Watcher) -> None:
    data = b"0123456789" * 100_000
    (tmp_path / "served" / "net.onnx").write_bytes(data)
    web.break_after = 400_000
    uri = f"{web.url}/net.onnx"
    path = fetch(uri, sha256(data), {}, Store(tmp_path / "store"), watcher)
    assert path.read_bytes() == data
    ranges = [wanted for method, _, wanted in web.requests if method == "GET"]
    assert ranges[0] is None
    assert len(ranges) >= 3
    assert all(wanted for wanted in ranges[1:])
    assert watcher.came[uri] == len(data)


def test_without_tls_only_where_it_is_allowed(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}/net.onnx"
    with pytest.raises(ConfigError) as caught:
        fetch(uri, sha256(b""), {}, Store(tmp_path), Silent())
    assert "insecure = true" in str(caught.value.remedy)


def test_a_server_whose_certificate_nobody_vouches_for_is_refused(
    web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(StorageFailed) as caught:
        fetch(f"{web.url}/net.onnx", sha256(b""), {}, Store(tmp_path), Silent())
    assert "certificate" in str(caught.value.cause).lower()


def test_nothing_is_pushed_to_a_web_server(web: WebServer, model: Path) -> None:
    with pytest.raises(UnsupportedOperation):
        push(model, f"{web.url}/net", {})


def test_what_a_place_said_last_serves_while_it_is_away(
    web: WebServer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "served" / "net"
    model.rename(served)
    (served / "wasmind.json").write_bytes(read_directory(served)[0].encode())
    store = Store(tmp_path / "store")
    uri = f"{web.url}/net/wasmind.json"
    first = fetch(uri, None, {}, store, Silent())

    def away(*_args: object, **_named: object) -> None:
        raise httpx.ConnectError("nobody is there")

    monkeypatch.setattr(httpx.Client, "send", away)
    assert fetch(uri, None, {}, store, Silent()) == first
    with pytest.raises(StorageFailed):
        fetch(f"{web.url}/other/wasmind.json", None, {}, store, Silent())
