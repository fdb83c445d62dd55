"""REST over HTTP/2 through a real proxy: agreed on by TLS, or known from the configuration."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from support.meddler import meddling
from support.nghttpx import nghttpx
from support.oip_server import OipServer, oip_server
from support.peers import free_ports
from wasmind.backends.oip.connect import check_packages
from wasmind.backends.oip.http import RestTransport, connect
from wasmind.backends.oip.transport import NotSent
from wasmind.config import KServe
from wasmind.errors import (
    InferenceTimeout,
    InvalidTensor,
    ModelBusy,
    ModelUnavailable,
    NnError,
    PackageMissing,
    RuntimeFailed,
)
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType

F32 = TensorType.F32
X = Tensor(F32, (1, 4), struct.pack("<4f", 1, 2, 3, 4))
Y = struct.pack("<4f", 3, 5, 7, 9)
Files = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def server() -> Iterator[OipServer]:
    with oip_server() as running:
        yield running


@pytest.fixture(scope="module")
def plain(server: OipServer) -> Iterator[str]:
    """HTTP/2 without TLS."""
    with nghttpx(server.port) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """An authority, and a key and a certificate of it."""
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    ca, key, chain = (directory / name for name in ("ca.pem", "key.pem", "chain.pem"))
    authority.cert_pem.write_to_path(ca)
    issued.private_key_pem.write_to_path(key)
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return ca, key, chain


@pytest.fixture(scope="module")
def secure(server: OipServer, files: Files) -> Iterator[int]:
    """The port of TLS, where both versions are spoken."""
    with nghttpx(server.port, files[1:]) as port:
        yield port


@asynccontextmanager
async def transport(url: str, model: str = "linear", **more: object) -> AsyncIterator[RestTransport]:
    one = connect(url, KServe(url=url, model=model, **more))  # type: ignore[arg-type]  # settings by name
    try:
        yield one
    finally:
        await one.close()


async def infer(one: RestTransport, seconds: float = 10.0) -> bytes:
    ((_, tensor),) = await one.infer([("x", X)], ["y"], seconds)
    return bytes(tensor.data)


# --- without TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
async def test_what_http_1_gives(plain: str, binary: bool) -> None:
    async with transport(plain, http2=True, binary=binary) as one:
        assert await one.signature(5.0) == Signature(
            (TensorSpec("x", F32, (1, 4)),), (TensorSpec("y", F32, (1, 4)),)
        )
        assert await infer(one) == Y


async def test_many_requests_share_a_connection(plain: str) -> None:
    async with meddling(plain) as meddler, transport(meddler.url, "slow", http2=True) as one:
        assert await asyncio.gather(*(infer(one) for _ in range(60))) == [Y] * 60
        assert meddler.open == 1


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("busy", ModelBusy, "queue is full"),
        ("away", ModelUnavailable, "warming up"),
        ("refuses", InvalidTensor, "unexpected shape"),
        ("half", ModelUnavailable, ""),
        ("hangup", ModelUnavailable, ""),
        ("garbage", RuntimeFailed, ""),
        ("moved", RuntimeFailed, ""),
        ("lies", RuntimeFailed, ""),
    ],
)
async def test_each_failure_has_its_error(plain: str, model: str, error: type[NnError], words: str) -> None:
    async with transport(plain, model, http2=True) as one:
        with pytest.raises(error) as raised:
            await infer(one)
    assert words in (raised.value.cause or "")
    assert not isinstance(raised.value, NotSent)


async def test_a_late_answer_is_given_up_at_the_server(server: OipServer, plain: str) -> None:
    before = server.counts()["given up"]
    async with transport(plain, "hang", http2=True) as one:
        with pytest.raises(InferenceTimeout):
            await infer(one, 0.2)
        async with asyncio.timeout(5):
            while server.counts()["given up"] == before:
                await asyncio.sleep(0.05)


async def test_a_large_tensor(plain: str) -> None:
    count = 300_000
    data = struct.pack("<4f", 1, 2, 3, 4) * (count // 4)
    async with transport(plain, http2=True) as one:
        ((_, tensor),) = await one.infer([("x", Tensor(F32, (1, count), data))], ["y"], 30.0)
    assert tensor.data == struct.pack("<4f", 3, 5, 7, 9) * (count // 4)


async def test_a_token_is_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    with oip_server(token="secret") as server, nghttpx(server.port) as port:
        url = f"http://127.0.0.1:{port}"
        async with transport(url, http2=True, token_file=tmp_path / "token") as one:
            assert await infer(one) == Y


async def test_a_server_of_http_1_alone(server: OipServer) -> None:
    """It does not hang: the server's first words tell."""
    began = time.monotonic()
    async with transport(server.url, http2=True) as one:
        with pytest.raises(NotSent):
            await infer(one)
    assert time.monotonic() - began < 3.0


# --- with TLS ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("http2", "connections"), [(None, 1), (True, 1), (False, 20)])
async def test_what_the_server_picks(secure: int, files: Files, http2: bool | None, connections: int) -> None:
    async with meddling(f"http://127.0.0.1:{secure}") as meddler:
        url = f"https://localhost:{urlsplit(meddler.url).port}"
        async with transport(url, "slow", http2=http2, ca=files[0], binary=True) as one:
            assert await asyncio.gather(*(infer(one) for _ in range(20))) == [Y] * 20
            assert meddler.open == connections


async def test_a_server_that_learns_http_2_while_it_is_away(server: OipServer, files: Files) -> None:
    (port,) = free_ports(1)
    async with transport(f"https://localhost:{port}", "slow", ca=files[0], binary=True) as one:
        for options, opened in ((["--npn-list=http/1.1"], 10), ([], 1)):
            with nghttpx(server.port, files[1:], options=options) as there:
                async with meddling(f"http://127.0.0.1:{there}", port) as meddler:
                    assert await asyncio.gather(*(infer(one) for _ in range(10))) == [Y] * 10
                    assert meddler.open == opened
            await asyncio.sleep(0.1)  # until it is known here too that the connections are gone
            with pytest.raises(NotSent):
                await infer(one)


async def test_the_first_requests_fail_together(files: Files) -> None:
    (port,) = free_ports(1)
    async with transport(f"https://localhost:{port}", ca=files[0]) as one:
        found = await asyncio.gather(*(infer(one) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, NotSent) for each in found)


async def test_without_the_package_https_is_http_1(
    secure: int, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr("wasmind.backends.oip.http.find_spec", nothing)
    monkeypatch.setattr("wasmind.backends.oip.connect.find_spec", nothing)
    url = f"https://localhost:{secure}"
    async with transport(url, ca=files[0]) as one:
        assert await infer(one) == Y
    check_packages(KServe(url=url, model="m"))
    with pytest.raises(PackageMissing, match="hpack"):
        check_packages(KServe(url=url, model="m", http2=True))
