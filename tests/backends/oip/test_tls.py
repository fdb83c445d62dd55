"""TLS to real servers: whom they are trusted by, what they ask for; by REST and by gRPC."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import grpc
import pytest
import trustme
from open_inference.grpc import service

from support.oip_grpc import Servicer
from support.oip_server import Served
from wasmind.backends.oip.connect import connect
from wasmind.backends.oip.transport import NotSent, Transport
from wasmind.config import KServe
from wasmind.errors import ModelUnavailable
from wasmind.nn.tensor import Tensor, TensorType

X = Tensor(TensorType.F32, (1, 4), struct.pack("<4f", 1, 2, 3, 4))
Y = struct.pack("<4f", 3, 5, 7, 9)
Protocol = Literal["rest", "grpc"]


class Authority:
    """A certificate authority with its files."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.ca = trustme.CA()
        self.file = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)
        self.client = self.ca.issue_cert("node@example.org")
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        self.client.private_key_pem.write_to_path(self.key)
        self.cert.write_bytes(b"".join(blob.bytes() for blob in self.client.cert_chain_pems))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "others")


@asynccontextmanager
async def rest_server(authority: Authority, host: str, asks: bool) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.ca.issue_cert(host).configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.ca.configure_trust(context)
    served = Served(binary=True, token=None)
    tasks: list[asyncio.Task[Any]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await served.connection(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)


@asynccontextmanager
async def grpc_server(authority: Authority, host: str, asks: bool) -> AsyncIterator[str]:
    own = authority.ca.issue_cert(host)
    chain = b"".join(blob.bytes() for blob in own.cert_chain_pems)
    root = authority.ca.cert_pem.bytes()
    credentials = grpc.ssl_server_credentials(
        [(own.private_key_pem.bytes(), chain)], root_certificates=root, require_client_auth=asks
    )
    server = grpc.aio.server()
    service.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"https://localhost:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def transport(
    protocol: Protocol, authority: Authority, *, host: str = "localhost", asks: bool = False, **settings: Path
) -> AsyncIterator[Transport]:
    start = rest_server if protocol == "rest" else grpc_server
    model = "linear" if protocol == "rest" else "raw"
    async with start(authority, host, asks) as url:
        (server,) = connect(KServe(url=url, model=model, protocol=protocol, **settings), 0)  # type: ignore[arg-type]
        try:
            yield server.transport
        finally:
            await server.transport.close()


async def infer(one: Transport) -> bytes:
    ((_, tensor),) = await one.infer([("x", X)], ["y"], 5.0)
    return bytes(tensor.data)


@pytest.fixture(params=["rest", "grpc"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    found: Protocol = request.param
    return found


async def test_an_authority_of_ones_own(protocol: Protocol, ours: Authority) -> None:
    async with transport(protocol, ours, ca=ours.file) as one:
        assert await infer(one) == Y
        assert await infer(one) == Y


async def test_a_client_certificate_where_the_server_asks(protocol: Protocol, ours: Authority) -> None:
    async with transport(protocol, ours, asks=True, ca=ours.file, cert=ours.cert, key=ours.key) as one:
        assert await infer(one) == Y


async def test_no_client_certificate_where_the_server_asks(protocol: Protocol, ours: Authority) -> None:
    async with transport(protocol, ours, asks=True, ca=ours.file) as one:
        with pytest.raises(ModelUnavailable):
            await infer(one)


async def test_a_client_certificate_of_others(protocol: Protocol, ours: Authority, others: Authority) -> None:
    async with transport(protocol, ours, asks=True, ca=ours.file, cert=others.cert, key=others.key) as one:
        with pytest.raises(ModelUnavailable):
            await infer(one)


async def test_a_server_of_another_authority(protocol: Protocol, ours: Authority, others: Authority) -> None:
    async with transport(protocol, others, ca=ours.file) as one:
        with pytest.raises(NotSent):
            await infer(one)


async def test_a_server_that_the_system_does_not_know(protocol: Protocol, ours: Authority) -> None:
    async with transport(protocol, ours) as one:
        with pytest.raises(NotSent):
            await infer(one)


async def test_a_certificate_for_another_name(protocol: Protocol, ours: Authority) -> None:
    async with transport(protocol, ours, host="other.example.org", ca=ours.file) as one:
        with pytest.raises(NotSent):
            await infer(one)


async def test_a_remedy_for_an_unknown_authority(ours: Authority) -> None:
    async with transport("rest", ours) as one:
        with pytest.raises(NotSent) as raised:
            await infer(one)
    assert raised.value.remedy is not None
    assert "`ca`" in raised.value.remedy


async def test_cancelling_over_tls_closes_the_connection(ours: Authority) -> None:
    async with rest_server(ours, "localhost", asks=False) as url:
        (server,) = connect(KServe(url=url, model="hang", ca=ours.file), 0)
        task = asyncio.create_task(server.transport.infer([("x", X)], ["y"], 30.0))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.transport.close()
    # leaving the block waits for the server's side of every connection to end
