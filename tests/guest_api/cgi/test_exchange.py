"""Requests served by a real command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.garbage import leaves_nothing
from wasmind.config import Limits
from wasmind.errors import BodyTooLarge, CpuBudgetSpent, GuestExit, GuestTrap, MalformedResponse, RequestError
from wasmind.guest_api.cgi import WINDOW, Environment, Exchange, Request
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.sandbox import Guest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from wasmind.sandbox import Figures, Program

LIMITS = Limits(cpu_ms=5000)


class Client:
    """One client of a function."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.ended = False
        self.gate: asyncio.Event | None = None
        self.logged = b""
        self.notes: list[str] = []
        self.started = False
        self.figures: Figures

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, dict(headers)

    def body(self, chunk: bytes, more: bool) -> Awaitable[None] | None:
        if self.gate is not None:
            return self._take(self.gate, chunk, more)
        self.parts.append(chunk)
        self.ended = not more
        return None

    async def _take(self, gate: asyncio.Event, chunk: bytes, more: bool) -> None:
        await gate.wait()
        self.parts.append(chunk)
        self.ended = not more

    def log(self, data: bytes) -> None:
        self.logged += data

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


class Function:
    """A deployed function."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.backend = OnnxBackend(onnx_models.linear())
        self.models = FixedModels(linear=Graph("linear", self.backend))
        self.environment = Environment({"GREETING": "hi"}, ["echo"])

    async def serve(
        self,
        path: str,
        query: str = "",
        *,
        body: Any = None,
        client: Client | None = None,
        limits: Limits = LIMITS,
        method: str = "GET",
    ) -> Client:
        client = client or Client()
        headers = [(b"host", b"localhost")]
        parts = [body] if isinstance(body, bytes) else body or []
        if isinstance(parts, list):
            waiting = list(parts)

            async def receive() -> bytes:
                await asyncio.sleep(0)
                return waiting.pop(0) if waiting else b""
        else:
            receive = parts
        if body is not None:
            headers.append((b"transfer-encoding", b"chunked"))
        request = Request(
            method=method,
            script_name="/echo",
            path_info=path,
            target=b"/echo" + path.encode(),
            query=query.encode(),
            headers=headers,
        )
        session = Session(self.models, limits, "acme")
        exchange = Exchange(
            self.environment, request, receive, client, session, client.log, client.notes.append
        )
        guest = Guest(self.program, limits, exchange.host)
        try:
            await exchange.run(guest)
        finally:
            guest.close()
            client.started = exchange.started
            client.figures = guest.figures
        return client


@pytest.fixture
def echo(program: Callable[[str], Program]) -> Function:
    return Function(program("echo.c"))


async def test_the_environment_reaches_the_guest(echo: Function) -> None:
    client = await echo.serve("/env", "a=1&b=2")
    found = dict(line.split("=", 1) for line in client.data.decode().splitlines())
    assert found["QUERY_STRING"] == "a=1&b=2"
    assert found["GREETING"] == "hi"
    assert found["HTTP_HOST"] == "localhost"
    assert (client.status, client.headers[b"content-length"]) == (200, b"%d" % len(client.data))


@pytest.mark.parametrize(
    "parts", [[], [b"hello"], [b"a" * 10, b"b" * 100_000, b"c"], [bytes(range(256)) * 1000] * 5]
)
async def test_a_body_passes_through(echo: Function, parts: list[bytes]) -> None:
    client = await echo.serve("/body", body=parts)
    assert client.data == b"".join(parts)
    assert client.ended


async def test_a_large_body_is_never_held(echo: Function) -> None:
    left = 20_000_000
    given = 0

    async def receive() -> bytes:
        nonlocal given
        size = min(65536, left - given)
        given += size
        return b"x" * size

    client = await echo.serve("/count", body=receive)
    assert client.data == b"20000000"


async def test_a_request_without_a_body(echo: Function) -> None:
    assert (await echo.serve("/count")).data == b"0"


@pytest.mark.parametrize(
    ("path", "query"), [("/body", ""), ("/tokens", "5"), ("/progress", "1"), ("/large", "1000000")]
)
async def test_what_a_request_made_is_freed_with_it(echo: Function, path: str, query: str) -> None:
    await leaves_nothing(lambda: echo.serve(path, query, body=[b"x" * 70_000, b"end"]))


@pytest.mark.parametrize("size", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 1_000_000])
async def test_responses_of_any_size(echo: Function, size: int) -> None:
    client = await echo.serve("/large", str(size))
    assert client.data == b"x" * size
    assert client.ended
    assert (b"content-length" in client.headers) == (size < WINDOW)


async def test_a_slow_client_holds_the_guest_not_the_memory(echo: Function) -> None:
    client = Client()
    client.gate = asyncio.Event()
    serving = asyncio.create_task(echo.serve("/large", "10000000", client=client))
    await asyncio.sleep(0.05)
    assert client.status == 200
    assert client.parts == []
    assert not serving.done()
    client.gate.set()
    await serving
    assert len(client.data) == 10_000_000
    assert max(map(len, client.parts)) <= 3 * WINDOW


async def test_tokens_reach_the_client_one_by_one(echo: Function) -> None:
    client = await echo.serve("/tokens", "5")
    assert [part for part in client.parts if part] == [b"data: %d\n\n" % at for at in range(5)]


@pytest.mark.parametrize("infers", [True, False])
async def test_what_was_said_before_a_wait_reaches_the_client(echo: Function, infers: bool) -> None:
    """A guest that waits for a model, or for more of its request, has its words passed on meanwhile."""
    go = asyncio.Event()

    async def receive() -> bytes:
        await go.wait()
        return b"hello"

    echo.backend.delay = 0.05
    client = Client()
    serving = asyncio.create_task(echo.serve("/progress", str(int(infers)), body=receive, client=client))
    while not client.parts:
        await asyncio.sleep(0.001)
    assert client.parts == [b"thinking\n"]
    assert not serving.done()
    go.set()
    await serving
    assert client.data.endswith(b"3 5 7 9" if infers else b"read 5\n")


async def test_a_guest_that_infers(echo: Function) -> None:
    client = await echo.serve("/infer")
    assert client.data == b"3 5 7 9"
    assert client.figures.inference_ns > 0
    assert echo.backend.tenants == ["acme"]
    assert echo.backend.held == 0


@pytest.mark.parametrize("status", [200, 201, 404, 503])
async def test_the_status_is_the_guests(echo: Function, status: int) -> None:
    client = await echo.serve("/status", str(status))
    assert (client.status, client.data) == (status, b"status %d" % status)


async def test_stderr_reaches_the_log(echo: Function) -> None:
    assert (await echo.serve("/stderr")).logged == b"one\ntwo"


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("/silent", "", MalformedResponse),
        ("/garbage", "", MalformedResponse),
        ("/exit", "3", GuestExit),
        ("/trap-after", "10", GuestTrap),
        ("/spin", "", CpuBudgetSpent),
        ("/a\0b", "", RequestError),
    ],
)
async def test_what_is_no_answer(echo: Function, path: str, query: str, error: type[Exception]) -> None:
    client = Client()
    with pytest.raises(error):
        await echo.serve(path, query, client=client, limits=Limits(cpu_ms=30))
    assert not client.started
    assert client.status == 0


async def test_a_guest_that_exits_with_an_error_after_it_answered(echo: Function) -> None:
    client = await echo.serve("/exit-after", "3")
    assert (client.status, client.data, client.ended) == (200, b"answered", True)
    (note,) = client.notes
    assert "3" in note


async def test_a_guest_that_traps_in_the_middle_of_its_answer(echo: Function) -> None:
    """The edge learns that the head is out, and that the response must not look complete."""
    client = Client()
    with pytest.raises(GuestTrap):
        await echo.serve("/trap-after", "1000000", client=client)
    assert client.started
    assert client.status == 200
    assert not client.ended


async def test_a_guest_may_go_on_after_its_answer(echo: Function) -> None:
    client = Client()
    serving = asyncio.create_task(echo.serve("/close", client=client))
    while not client.ended:
        await asyncio.sleep(0.001)
    assert client.data == b"closed"
    assert not serving.done()
    await serving
    assert client.logged == b"still running"


async def test_what_ends_the_request_ends_the_guest(echo: Function) -> None:
    async def too_large() -> bytes:
        raise BodyTooLarge("the body is over the limit")

    client = Client()
    with pytest.raises(BodyTooLarge):
        await echo.serve("/count", body=too_large, client=client)
    assert not client.started


async def test_a_client_that_leaves_during_an_inference(echo: Function) -> None:
    echo.backend.delay = 10
    serving = asyncio.create_task(echo.serve("/infer"))
    while not echo.backend.calls:
        await asyncio.sleep(0.001)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert echo.backend.cancelled == 1
    assert echo.backend.held == 0
    assert len(asyncio.all_tasks()) == 1


async def test_many_at_once(echo: Function) -> None:
    echo.backend.delay = 0.02
    clients = await asyncio.gather(*(echo.serve("/infer") for _ in range(200)))
    assert {client.data for client in clients} == {b"3 5 7 9"}
    assert echo.backend.held == 0


async def test_a_head_request(echo: Function) -> None:
    client = await echo.serve("/large", "100000", method="HEAD")
    assert (client.data, client.headers[b"content-length"]) == (b"", b"100000")
