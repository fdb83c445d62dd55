"""Functions that are components, through a real edge worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.edges import EdgeProcess, SharedEdge, component, snapshot
from support.http import ask, connected, head
from support.toolchains import WIT, c
from wasmind.config import Limits, Size

from .test_requests import logged, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasmind.node.messages import FunctionEntry


def server(name: str, *routes: str, **settings: object) -> FunctionEntry:
    """The guest `server`, which is told what to do by the first letter of the path."""
    return component(name, c("server", WIT, "http"), routes=routes, **settings)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    small = Limits(
        cpu_ms=200, wall_ms=600, memory=Size(24 << 20), request_body=Size(100_000), body_stall_ms=300
    )
    functions = (
        server("f", "/*"),
        server("small", "/t", "/n", "/e", "/x", "/b", "/i", limits=small),
        server("cpu", "/s", "/l", limits=Limits(cpu_ms=100, wall_ms=60_000)),
        server("one", "/w1", limits=Limits(concurrency=1)),
        server("get", "/get", methods=("GET", "HEAD"), host="get.example"),
    )
    with SharedEdge(snapshot(*functions), tmp_path_factory.mktemp("edge")) as process:
        yield process


async def test_a_component_answers(served: EdgeProcess) -> None:
    answer = await ask(served.port, path="/hello")
    assert (answer.status, answer.body) == (201, b"hello")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["server"] == "wasmind"


async def test_a_component_sees_the_request_as_it_was_sent(served: EdgeProcess) -> None:
    answer = await ask(served.port, "PROPFIND", "/r/a%20b?c=d", X_Test="one")
    assert answer.body == b"/r/a%20b?c=dtestPROPFINDone"


async def test_head_has_the_headers_and_no_body(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        for _ in range(2):
            client.send(head("HEAD", "/hello"))
            assert (await client.answer(head=True)).status == 201
        client.send(head("GET", "/hello"))
        assert (await client.answer()).body == b"hello"


async def test_http_1_0(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(b"GET /hello HTTP/1.0\r\n\r\n")
        assert (await client.answer()).body == b"hello"
        assert await client.ended()


@pytest.mark.parametrize("size", [0, 1, 5_000, 90_000])
async def test_bodies_both_ways(served: EdgeProcess, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert (await ask(served.port, "POST", "/e", data)).body == data


async def test_a_body_is_asked_for_when_the_guest_reads(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/echo", Content_Length=4, Expect="100-continue"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"body")
        assert (await client.answer()).body == b"body"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/t", 502, "guest-trap"),
        ("/b", 502, "guest-trap"),
        ("/n", 502, "guest-malformed-response"),
        ("/i", 502, "guest-malformed-response"),
        ("/x", 502, "guest-malformed-response"),
        ("/s", 504, "guest-cpu-budget"),
    ],
)
async def test_a_component_that_fails(served: EdgeProcess, path: str, status: int, code: str) -> None:
    answer = await ask(served.port, path=path)
    problem(answer, status, code)
    record = await logged(served, answer)
    assert (record["code"], record["status"]) == (code, status)
    assert (await ask(served.port, path="/hello")).status == 201, "only that request was hurt"


async def test_a_body_that_is_too_large_or_stalls(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/e", Content_Length=100_001))
        problem(await client.answer(), 413, "body-too-large")
    async with connected(served.port) as client:
        client.send(head("POST", "/e", Content_Length=10) + b"abc")
        answer = await client.answer()
        assert (answer.status, answer.body, answer.complete) == (200, b"abc", False), "what was begun is cut"


async def test_methods(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(b"POST /get HTTP/1.1\r\nHost: get.example\r\nContent-Length: 0\r\n\r\n")
        refused = await client.answer()
    problem(refused, 405, "method-not-allowed")


async def test_many_at_once(served: EdgeProcess) -> None:
    answers = await asyncio.gather(*(ask(served.port, path="/wait") for _ in range(50)))
    assert {answer.body for answer in answers} == {b"waited"}


async def test_what_was_written_is_sent_while_the_guest_waits(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/echo", Transfer_Encoding="chunked") + b"3\r\nabc\r\n")
        await client.reader.readuntil(b"abc\r\n")
        client.send(b"2\r\nde\r\n")
        await client.reader.readuntil(b"de\r\n")
        client.send(b"0\r\n\r\n")
        await client.reader.readuntil(b"0\r\n\r\n")


async def test_a_client_that_leaves_ends_its_guest(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/echo", Transfer_Encoding="chunked") + b"3\r\nabc\r\n")
        await client.reader.readuntil(b"abc\r\n")
        await until(lambda: served.stats.guests == 1)
    await until(lambda: served.stats.guests == 0)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process tells."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)
