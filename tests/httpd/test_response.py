from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

import pytest

from wasmind.errors import FunctionBusy, GuestTrap
from wasmind.httpd.response import Response


class Writer:
    """The connection's side, and what it was given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closing = False
        self.slow: Awaitable[None] | None = None

    def write(self, data: bytes) -> Awaitable[None] | None:
        self.sent.append(data)
        return self.slow

    @property
    def lines(self) -> list[bytes]:
        return b"".join(self.sent).partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def body(self) -> bytes:
        return b"".join(self.sent).partition(b"\r\n\r\n")[2]


def response(
    writer: Writer, method: bytes = b"GET", version: str = "1.1", *, keep_alive: bool = True
) -> Response:
    return Response(writer, b"id-1", method=method, version=version, keep_alive=keep_alive)


def test_head_and_body_leave_together() -> None:
    writer = Writer()
    answer = response(writer)
    answer.start(200, [(b"content-type", b"text/plain"), (b"content-length", b"5")])
    assert writer.sent == []
    assert answer.status == 200
    assert not answer.complete
    answer.body(b"hello", more=False)
    assert len(writer.sent) == 1
    assert answer.complete
    assert writer.lines[0] == b"HTTP/1.1 200 OK"
    assert {
        b"content-type: text/plain",
        b"content-length: 5",
        b"server: wasmind",
        b"x-request-id: id-1",
    } <= set(writer.lines)
    assert any(line.startswith(b"date: ") and line.endswith(b" GMT") for line in writer.lines)
    assert b"transfer-encoding: chunked" not in writer.lines
    assert writer.body == b"hello"


def test_a_body_of_unknown_length_is_chunked() -> None:
    writer = Writer()
    answer = response(writer)
    answer.start(200, [])
    answer.body(b"hello", more=True)
    answer.body(b"", more=True)
    answer.body(b"x" * 17, more=True)
    answer.body(b"", more=False)
    assert b"transfer-encoding: chunked" in writer.lines
    assert writer.body == b"5\r\nhello\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"


def test_the_last_part_and_the_end_leave_together() -> None:
    writer = Writer()
    answer = response(writer)
    answer.start(200, [])
    answer.body(b"hello", more=False)
    assert writer.body == b"5\r\nhello\r\n0\r\n\r\n"


def test_trailers_follow_a_chunked_body_and_no_other() -> None:
    for headers, end in (([], b"0\r\nx-sum: 7\r\n\r\n"), ([(b"content-length", b"5")], b"hello")):
        writer = Writer()
        answer = response(writer)
        answer.start(200, headers)
        answer.body(b"hello", False, [(b"x-sum", b"7")])
        assert writer.body.endswith(end)


def test_http_1_0_ends_an_unknown_length_with_the_connection() -> None:
    writer = Writer()
    answer = response(writer, version="1.0", keep_alive=True)
    answer.start(200, [])
    answer.body(b"hello", more=False)
    assert writer.body == b"hello"
    assert b"connection: close" in writer.lines
    assert not answer.keep_alive
    assert not answer.delimited


def test_http_1_0_keeps_a_connection_whose_client_asks_for_it() -> None:
    writer = Writer()
    answer = response(writer, version="1.0", keep_alive=True)
    answer.start(200, [(b"content-length", b"0")])
    answer.body(b"", more=False)
    assert b"connection: keep-alive" in writer.lines
    assert answer.keep_alive


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    writer = Writer()
    answer = response(writer)
    answer.start(status, [])
    answer.body(b"unwanted", more=False)
    assert writer.body == b""
    assert b"transfer-encoding: chunked" not in writer.lines


def test_a_head_has_the_length_and_no_body() -> None:
    writer = Writer()
    answer = response(writer, b"HEAD")
    answer.start(200, [(b"content-length", b"5")])
    answer.body(b"hello", more=False)
    assert b"content-length: 5" in writer.lines
    assert writer.body == b""


def test_the_last_response_of_a_connection_says_so() -> None:
    for closing, keep_alive in ((True, True), (False, False)):
        writer = Writer()
        writer.closing = closing
        answer = response(writer, keep_alive=keep_alive)
        answer.start(200, [(b"content-length", b"0")])
        answer.body(b"", more=False)
        assert b"connection: close" in writer.lines
        assert not answer.keep_alive


def test_a_function_cannot_forge_what_is_ours() -> None:
    writer = Writer()
    answer = response(writer)
    answer.start(200, [(b"server", b"other"), (b"x-request-id", b"other"), (b"content-length", b"0")])
    answer.body(b"", more=False)
    assert sum(line.startswith((b"server:", b"x-request-id:")) for line in writer.lines) == 2
    assert b"server: wasmind" in writer.lines


def test_an_unregistered_status_has_no_phrase() -> None:
    writer = Writer()
    answer = response(writer)
    answer.start(299, [(b"content-length", b"0")])
    answer.body(b"", more=False)
    assert writer.lines[0] == b"HTTP/1.1 299 "


def test_timing_is_told_when_it_is_asked_for() -> None:
    writer = Writer()
    answer = response(writer)
    answer.timing = lambda: b"sandbox;dur=1.000"
    answer.start(200, [(b"content-length", b"0")])
    answer.body(b"", more=False)
    assert b"server-timing: sandbox;dur=1.000" in writer.lines


def test_a_problem() -> None:
    writer = Writer()
    answer = response(writer)
    answer.problem(GuestTrap("it trapped"), dev=False)
    assert answer.complete
    assert writer.lines[0] == b"HTTP/1.1 502 Bad Gateway"
    assert b"content-length: %d" % len(writer.body) in writer.lines
    assert json.loads(writer.body)["instance"] == "id-1"


def test_a_problem_with_allow_and_retry_after() -> None:
    writer = Writer()
    response(writer).problem(FunctionBusy("busy"), dev=False, allow="GET, POST")
    assert {b"allow: GET, POST", b"retry-after: 1"} <= set(writer.lines)


async def test_a_slow_client_is_waited_for() -> None:
    writer = Writer()
    writer.slow = asyncio.get_running_loop().create_future()
    answer = response(writer)
    answer.start(200, [])
    assert answer.body(b"x", more=True) is writer.slow
