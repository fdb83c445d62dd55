"""Places and models of the tests of storage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import storage
from wasmind.config import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.storage import WebServer


class Watcher:
    """Sums up what a transfer tells."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.came: dict[str, int] = {}
        self.done: list[str] = []

    def fetching(self, uri: str, size: int) -> None:
        self.sizes[uri] = size
        self.came[uri] = 0

    def arrived(self, uri: str, size: int) -> None:
        self.came[uri] += size

    def fetched(self, uri: str) -> None:
        self.done.append(uri)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of two files, one of them of several chunks."""
    directory = tmp_path / "net"
    (directory / "variables").mkdir(parents=True)
    (directory / "model.xml").write_bytes(b"<net/>")
    (directory / "variables" / "model.bin").write_bytes(os.urandom(3 << 20))
    return directory


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with storage.registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with storage.object_store(tmp_path_factory.mktemp("weed")) as found:
        yield found


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.toml"
    path.write_text("".join(f'{key} = "{value}"\n' for key, value in storage.SECRETS.items()))
    return path


@pytest.fixture
def s3(endpoint: str, secrets: Path) -> dict[str, Storage]:
    return {"s3://models": Storage(options={"endpoint": endpoint}, secrets=secrets, insecure=True)}


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    served = tmp_path / "served"
    served.mkdir()
    with storage.web_server(served) as server:
        authority = tmp_path / "authority.pem"
        server.authority.cert_pem.write_to_path(str(authority))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        yield server
