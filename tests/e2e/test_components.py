"""Functions that are components, through a real edge worker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from support.components import ROOT
from support.edges import EdgeProcess, SharedEdge, component, edge, snapshot
from support.http import Answer, ask, connected, head
from support.toolchains import WIT, adapted, c
from wasmind.config import Limits, Size

from .test_requests import logged, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


@pytest.mark.slow
async def test_a_command_that_is_a_component_speaks_cgi(tmp_path: Path) -> None:
    wasm = adapted(ROOT / "tests" / "guests" / "http.c", ())
    function = component("f", wasm, env={"COLOUR": "green"})
    assert function.kind == "wasi-cli"
    async with edge(snapshot(function), tmp_path) as process:
        answer = await ask(process.port, path="/f/hello")
        assert (answer.status, answer.body) == (200, b"hello\n")
        env = (await ask(process.port, path="/f/env?a=b")).body.decode().splitlines()
        assert {"QUERY_STRING=a=b", "SCRIPT_NAME=/f", "COLOUR=green"} <= set(env)
        echoed = await ask(process.port, "POST", "/f/echo", b"x" * 100_000)
        assert echoed.body == b"x" * 100_000
        problem(await ask(process.port, path="/f/trap"), 502, "guest-trap")
        problem(await ask(process.port, path="/f/exit?3"), 502, "guest-exit")
        problem(await ask(process.port, path="/f/nonsense"), 502, "guest-malformed-response")


async def test_trailers(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        for asked, sent in (("trailers", b"x-sum: 7\r\n"), ("gzip", b"")):
            client.send(head("POST", "/echo", Transfer_Encoding="chunked", TE=asked))
            client.send(b"3\r\nabc\r\n0\r\nX-Sum: 7\r\nKeep-Alive: 1\r\n\r\n")
            lines = await client.reader.readuntil(b"\r\n\r\n")
            if sent:
                assert b"transfer-encoding: chunked" in lines
                assert await client.reader.readuntil(b"0\r\n") == b"3\r\nabc\r\n0\r\n"
                assert await client.reader.readuntil(b"\r\n\r\n") == sent + b"\r\n"
            elif b"content-length: 3" in lines:
                assert await client.reader.readexactly(3) == b"abc"
            else:
                assert await client.reader.readuntil(b"0\r\n\r\n") == b"3\r\nabc\r\n0\r\n\r\n"


async def test_trailers_without_end(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/echo", Transfer_Encoding="chunked") + b"0\r\n")
        client.send(b"".join(b"x-%d: y\r\n" % number for number in range(1000)))
        answer = await client.answer()
        assert answer.status in (400, 431)


async def test_work_after_the_response_holds_nobody_up(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        for _ in range(3):
            client.send(head(path="/done"))
        for _ in range(3):
            assert (await client.answer()).body == b"done"
        await until(lambda: served.stats.guests == 3, "all three go on")
        client.send(head(path="/hello"))
        assert (await client.answer()).body == b"hello"
    await until(lambda: served.stats.guests == 0, "they end by themselves, though their client has left")


async def test_work_after_the_response_has_its_limits(served: EdgeProcess) -> None:
    answer = await ask(served.port, path="/l")
    assert (answer.status, answer.body) == (200, b"done")
    record = await logged(served, answer)
    assert "ms of CPU" in record["event"]


@pytest.mark.slow
async def test_a_drain_waits_for_work_after_the_response(tmp_path: Path) -> None:
    async with edge(snapshot(server("f", "/*")), tmp_path) as process:
        assert (await ask(process.port, path="/done")).body == b"done"
        began = time.monotonic()
        assert (await process.drain()).cut == 0
        assert time.monotonic() - began > 1
    async with edge(snapshot(server("f", "/*")), tmp_path) as process:
        assert (await ask(process.port, path="/done")).body == b"done"
        assert (await process.drain(deadline_ms=100)).cut == 1


async def test_requests_to_backends(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                break
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100000\r\n\r\n" + b"y" * 100_000)
            await writer.drain()
        writer.close()

    backend = await asyncio.start_server(answers, "127.0.0.1", 0)
    here = f"127.0.0.1:{backend.sockets[0].getsockname()[1]}"
    functions = (
        server("f", "/f", backends=(f"http://{here}",)),
        server("alone", "/f", host="alone.example"),
        server(
            "none", "/f", host="none.example", backends=(f"http://{here}",), limits=Limits(backend_requests=0)
        ),
    )
    async with backend, edge(snapshot(*functions), tmp_path) as process:
        for _ in range(3):
            answer = await ask(process.port, path=f"/f?{here}")
            assert (answer.status, answer.body) == (202, b"y" * 100_000)
        assert len(asked) == 3
        assert b"host: " + here.encode() in asked[0].lower()
        refused = await ask(process.port, path="/f?localhost:1")
        assert (refused.status, refused.body) == (403, b"refused")
        record = await logged(process, refused)
        assert f"http://localhost:1 was refused: the function's backends are http://{here}" in record["event"]
        assert (await fetch(process, "alone.example", here)).status == 403
        refused = await fetch(process, "none.example", here)
        assert (refused.status, refused.body) == (403, b"refused")
        assert "a run may send 0" in (await logged(process, refused))["event"]
        assert len(asked) == 3
        newer = server("f", "/f", backends=("https://elsewhere.example",))
        await process.apply(snapshot(newer, generation=2))
        assert (await ask(process.port, path=f"/f?{here}")).status == 403, "the newest configuration counts"
    assert len(asked) == 3


async def fetch(process: EdgeProcess, host: str, authority: str) -> Answer:
    """Let the function at a host send a request."""
    async with connected(process.port) as client:
        client.send(f"GET /f?{authority} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return await client.answer()


async def until(holds: Callable[[], bool], why: str = "") -> None:
    """Wait for what another process tells."""
    try:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it never came to hold: {why}") from None
