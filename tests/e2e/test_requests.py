"""An edge worker as its clients see it: what each request is answered with."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.http import Answer, ask, connected, head

if TYPE_CHECKING:
    from support.edges import EdgeProcess


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(answer.body)
    assert (document["status"], document["code"]) == (status, code)
    assert document["instance"] == answer.headers["x-request-id"]
    return document


async def logged(process: EdgeProcess, answer: Answer) -> dict[str, Any]:
    """The one record of a request; it may come a moment after the answer."""
    async with asyncio.timeout(5):
        while not (found := process.records(answer.headers["x-request-id"])):
            await asyncio.sleep(0.01)
    (record,) = found
    return record


# --- answers ------------------------------------------------------------------------------------------------


async def test_a_guest_answers(served: EdgeProcess) -> None:
    answer = await ask(served.port, path="/f/hello")
    assert (answer.status, answer.body) == (200, b"hello\n")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == "6"
    assert answer.headers["server"] == "wasmind"
    assert "server-timing" not in answer.headers


async def test_a_guest_sees_the_request_as_cgi(served: EdgeProcess) -> None:
    answer = await ask(served.port, "PUT", "/f/a%20b/env?x=%31&y", b"body", X_Own="1", Proxy="evil")
    env = dict(line.split("=", 1) for line in answer.body.decode().splitlines())
    expected = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "/f",
        "PATH_INFO": "/a b/env",
        "QUERY_STRING": "x=%31&y",
        "REQUEST_URI": "/f/a%20b/env?x=%31&y",
        "CONTENT_LENGTH": "4",
        "HTTP_HOST": "test",
        "HTTP_X_OWN": "1",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": str(served.port),
        "COLOUR": "green",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert "HTTP_PROXY" not in env


async def test_a_guest_chooses_status_and_headers(served: EdgeProcess) -> None:
    answer = await ask(served.port, path="/f/status?418")
    assert (answer.status, answer.body, answer.headers["x-own"]) == (418, b"status\n", "yes")
    assert (await ask(served.port, path="/f/status?204")).body == b""


async def test_head_has_the_headers_and_no_body(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        for _ in range(2):
            client.send(head("HEAD", "/f/hello"))
            answer = await client.answer(head=True)
            assert answer.status == 200
        client.send(head("GET", "/f/hello"))
        assert (await client.answer()).body == b"hello\n"


async def test_http_1_0(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(b"GET /f/hello HTTP/1.0\r\n\r\n")
        assert (await client.answer()).body == b"hello\n"
        assert await client.ended()


async def test_request_ids(served: EdgeProcess) -> None:
    kept = await ask(served.port, path="/f/hello", X_Request_Id="abc-123")
    assert kept.headers["x-request-id"] == "abc-123"
    replaced = await ask(served.port, path="/f/hello", X_Request_Id='"><script>')
    assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", replaced.headers["x-request-id"])


# --- routes -------------------------------------------------------------------------------------------------


async def test_routes(served: EdgeProcess) -> None:
    assert (await ask(served.port, path="/exact/hello")).status == 200
    problem(await ask(served.port, path="/exact/other"), 404, "route-not-found")
    problem(await ask(served.port, path="/nowhere"), 404, "route-not-found")


async def test_a_hosts_own_route(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(b"GET /a/hello HTTP/1.1\r\nHost: OWN.example:80\r\n\r\n")
        assert (await client.answer()).body == b"hello\n"
        client.send(b"GET http://own.example/hello HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await client.answer()).body == b"hello\n"
        client.send(b"GET /a/hello HTTP/1.1\r\nHost: other.example\r\n\r\n")
        assert (await client.answer()).status == 404


async def test_methods(served: EdgeProcess) -> None:
    assert (await ask(served.port, path="/get/hello")).status == 200
    refused = await ask(served.port, "POST", "/get/hello")
    problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET, HEAD"


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/small/trap", 502, "guest-trap"),
        ("/small/exit?3", 502, "guest-exit"),
        ("/small/nonsense", 502, "guest-malformed-response"),
        ("/small/silent", 502, "guest-malformed-response"),
        ("/small/status?99", 502, "guest-malformed-response"),
        ("/cpu/spin", 504, "guest-cpu-budget"),
        ("/small/sleep?5000", 504, "guest-deadline"),
    ],
)
async def test_a_guest_that_fails(served: EdgeProcess, path: str, status: int, code: str) -> None:
    started = time.monotonic()
    answer = await ask(served.port, path=path)
    assert time.monotonic() - started < 10
    document = problem(answer, status, code)
    assert set(document) == {"type", "title", "status", "code", "instance"}, "the cause is not the client's"
    record = await logged(served, answer)
    assert (record["function"], record["code"], record["status"]) == (path.split("/")[1], code, status)
    assert record["error"]
    assert (await ask(served.port, path=path.rpartition("/")[0] + "/hello")).status == 200, (
        "only that request was hurt"
    )


async def test_a_failure_after_the_answer_began_is_seen_by_the_client(served: EdgeProcess) -> None:
    answer = await ask(served.port, path="/f/late-trap")
    assert (answer.status, answer.body, answer.complete) == (200, b"begun\n", False)
    record = await logged(served, answer)
    assert (record["event"], record["code"]) == ("request cut", "guest-trap")


async def test_memory_has_a_limit(served: EdgeProcess) -> None:
    answer = await ask(served.port, path="/small/grow?64")
    assert answer.body.startswith(b"refused at ")


async def test_a_body_that_is_announced_too_large(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/small/count", Content_Length=100_001, Expect="100-continue"))
        problem(await client.answer(), 413, "body-too-large")


async def test_a_body_that_grows_too_large(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/small/count", Transfer_Encoding="chunked"))
        for _ in range(11):
            client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        problem(await client.answer(), 413, "body-too-large")
    assert (await ask(served.port, "POST", "/small/count", b"x" * 100_000)).body.startswith(b"100000 ")


async def test_a_body_that_stalls(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/small/count", Content_Length=10) + b"abc")
        problem(await client.answer(), 408, "body-timeout")


async def test_a_body_with_a_malformed_chunk(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head("POST", "/f/count", Transfer_Encoding="chunked") + b"3\r\nabc\r\nxyz\r\n")
        problem(await client.answer(), 400, "request-invalid")


@pytest.mark.parametrize("path", ["/f/../f/hello", "/f/%2e%2e/hello", "/f/%00", "/f/%zz", "/f/%ff"])
async def test_ambiguous_paths(served: EdgeProcess, path: str) -> None:
    problem(await ask(served.port, path=path), 400, "request-invalid")


async def test_a_functions_concurrency(served: EdgeProcess) -> None:
    async with connected(served.port) as busy:
        busy.send(head(path="/one/sleep?400"))
        await asyncio.sleep(0.2)
        refused = await ask(served.port, path="/one/hello")
        problem(refused, 429, "function-busy")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await ask(served.port, path="/f/hello")).status == 200, "the others have their own"
        assert (await busy.answer()).body == b"slept\n"
    assert (await ask(served.port, path="/one/hello")).status == 200


# --- dev mode -----------------------------------------------------------------------------------------------


async def test_in_dev_mode_the_client_is_told_why(in_dev_mode: EdgeProcess) -> None:
    document = problem(await ask(in_dev_mode.port, path="/f/trap"), 502, "guest-trap")
    assert "unreachable" in document["detail"]
    assert document["cause"]
    assert "nowhere" in problem(await ask(in_dev_mode.port, path="/nowhere"), 404, "route-not-found")["cause"]


async def test_in_dev_mode_the_time_is_told(in_dev_mode: EdgeProcess) -> None:
    answer = await ask(in_dev_mode.port, path="/f/hello")
    found = re.fullmatch(
        r"sandbox;dur=([\d.]+), queue;dur=0.000, inference;dur=0.000", answer.headers["server-timing"]
    )
    assert found
    assert 0 < float(found[1]) < 1000


async def test_in_dev_mode_each_request_is_a_line(in_dev_mode: EdgeProcess) -> None:
    answer = await ask(in_dev_mode.port, path="/f/hello?a=b")
    record = await logged(in_dev_mode, answer)
    assert (record["event"], record["status"]) == ("GET /f/hello?a=b", 200)
    # Its sandbox was made before it came, and a busy machine may charge 2 ms too much (decision 9).
    assert record["ms"] + 4 >= record["cpu_ms"] > 0
    assert record["memory_kib"] >= 64
