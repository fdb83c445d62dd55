"""Requests served by a component: a C program whose calls are lowered by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from support.components import parse
from support.garbage import leaves_nothing
from support.toolchains import WIT, c
from wasmind.component.component import Component
from wasmind.config import Limits
from wasmind.errors import (
    BodyTimeout,
    ClientGone,
    CpuBudgetSpent,
    DeadlinePassed,
    GuestTrap,
    MalformedResponse,
    ProgramError,
    WasmindError,
)
from wasmind.guest_api.wasi_http import Service

from .conftest import Answer, Served


@pytest.fixture(params=["fused", "linked"])
def server(request: Any, load: Callable[..., Component]) -> Served:
    return Served(load(c("server", WIT, "http"), request.param))


async def parts(*given: bytes) -> AsyncIterator[bytes]:
    for part in given:
        await asyncio.sleep(0)
        yield part


async def test_hello(server: Served) -> None:
    answer = await server.get("/hello")
    assert (answer.status, answer.data, answer.complete) == (201, b"hello", True)
    assert answer.headers[b"content-type"] == b"text/plain"
    assert answer.headers.get(b"content-length", b"5") == b"5"  # none if a tick came while it was written
    assert server.figures is not None
    assert server.figures.host_calls > 5


async def test_the_smallest_one(load: Callable[..., Component]) -> None:
    served = Served(load(c("hello", WIT, "http")))
    assert (await served.get("/")).data == b"hello from a component\n"


@pytest.mark.parametrize("target", ["/hello", "/echo", "/wait", "/trap", "/none"])
async def test_what_a_request_made_is_freed_with_it(server: Served, target: str) -> None:
    async def ask() -> None:
        with contextlib.suppress(WasmindError):
            await server.get(target, "POST", body=parts(b"x" * 70_000, b"end"))

    await leaves_nothing(ask)


async def test_requests_do_not_see_each_other(server: Served) -> None:
    answers = await asyncio.gather(*(server.get("/wait") for _ in range(20)))
    assert [answer.data for answer in answers] == [b"waited"] * 20


async def test_what_a_request_says(server: Served) -> None:
    answer = await server.get(
        "/r/a%20b?c=d", "PROPFIND", [(b"host", b"localhost:1"), (b"x-test", b"one"), (b"x-test", b"two")]
    )
    assert answer.data == b"/r/a%20b?c=dlocalhost:1PROPFINDonetwo"


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
async def test_bodies_both_ways(server: Served, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    chunks = [data[at : at + 50_000] for at in range(0, size, 50_000)]
    answer = await server.get("/echo", "POST", body=parts(*chunks))
    assert answer.data == data
    assert answer.complete


async def test_a_request_without_a_body(server: Served) -> None:
    assert (await server.get("/echo")).data == b""


async def test_parts_are_passed_on_as_they_come(server: Served) -> None:
    answer, sent = Answer(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 70_000
        while len(answer.data) < 60_000:
            await asyncio.sleep(0.001)
        sent.set()
        yield b"end"

    await asyncio.wait_for(server.get("/echo", "POST", body=slowly(), answer=answer), 10)
    assert sent.is_set()
    assert answer.data == b"x" * 70_000 + b"end"
    assert b"content-length" not in answer.headers


async def test_a_slow_client_holds_its_guest_back(server: Served) -> None:
    class Slow(Answer):
        async def body(self, chunk: bytes, more: bool) -> None:
            await asyncio.sleep(0.0005)
            assert len(chunk) <= 200_000
            await super().body(chunk, more)

    chunks = [bytes(60_000)] * 40
    answer = await server.get("/echo", "POST", body=parts(*chunks), answer=Slow())
    assert len(answer.data) == 2_400_000
    assert len(answer.parts) > 10


async def test_waiting_suspends_the_guest(server: Served) -> None:
    assert (await server.get("/wait")).data == b"waited"
    assert server.figures is not None
    assert server.figures.waited_ns >= 4_000_000


async def test_work_after_the_response_is_complete(server: Served) -> None:
    """The response is there at once, and the guest ends by its own limits; its client never hears of it."""
    answer = await server.get("/late", limits=Limits(cpu_ms=30))
    assert (answer.status, answer.data, answer.complete) == (200, b"done", True)
    assert "CPU" in server.notes[0]


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/trap", GuestTrap, "unreachable"),
        ("/bad-handle", GuestTrap, "no handle 77"),
        ("/none", MalformedResponse, "without a response"),
        ("/incomplete", MalformedResponse, "without completing"),
        ("/x-error", MalformedResponse, "internal-error /x-error"),
    ],
)
async def test_guests_that_fail(server: Served, path: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        await server.get(path)
    assert words in caught.value.explain()  # type: ignore[attr-defined]  # of our tree
    assert not server.started
    assert (await server.get("/hello")).status == 201


async def test_budgets(server: Served) -> None:
    with pytest.raises(CpuBudgetSpent):
        await server.get("/spin", limits=Limits(cpu_ms=20))
    with pytest.raises(DeadlinePassed):
        await server.get("/spin", limits=Limits(cpu_ms=10_000, wall_ms=30))


async def test_a_body_that_stalls_ends_the_guest(server: Served) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b"some"
        raise BodyTimeout("the body stalled")

    with pytest.raises(BodyTimeout):
        await server.get("/echo", "POST", body=stalls())


async def test_a_client_that_leaves(server: Served) -> None:
    class Gone(Answer):
        async def body(self, chunk: bytes, more: bool) -> None:
            raise ClientGone("gone")

    with pytest.raises(ClientGone):
        await server.get("/echo", "POST", body=parts(*[bytes(60_000)] * 20), answer=Gone())


async def test_cancelling_a_request(server: Served) -> None:
    running = asyncio.ensure_future(server.get("/wait"))
    await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await server.get("/wait")).data == b"waited"


async def test_fetching(load: Callable[..., Component]) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 200000\r\n\r\n" + b"y" * 200_000)
        await writer.drain()
        writer.close()

    backend = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = backend.sockets[0].getsockname()[1]
    served = Served(load(c("server", WIT, "http")), (f"http://127.0.0.1:{port}",))
    try:
        answer = await served.get(f"/f?127.0.0.1:{port}")
        assert (answer.status, answer.data) == (202, b"y" * 200_000)
        answer = await served.get(f"/f?localhost:{port}")
        assert (answer.status, answer.data) == (403, b"refused")
        assert "refused" in served.notes[0]
    finally:
        await served.client.close()
        backend.close()
        await backend.wait_closed()
    answer = await served.get(f"/f?127.0.0.1:{port}")
    assert (answer.status, answer.data) == (502, b"failed")
    await served.client.close()


async def test_a_component_that_serves_no_http(load: Callable[..., Component]) -> None:
    with pytest.raises(ProgramError, match="serves no HTTP"):
        Service(load(parse("(component)")))


async def test_a_guest_that_ends_while_it_waits_leaves_nothing_behind(server: Served) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"some"
        await asyncio.sleep(60)

    running = asyncio.ensure_future(server.get("/echo", "POST", body=never()))
    await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.001)
    assert len(asyncio.all_tasks()) == 1
