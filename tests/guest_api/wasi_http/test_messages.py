"""Requests and responses as guests make them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wasmind.component.abi.values import Err, Ok
from wasmind.errors import GuestTrap
from wasmind.guest_api.cgi.request import Request
from wasmind.guest_api.stdio import BytesSource
from wasmind.guest_api.wasi_http.bodies import TAKEN, OutgoingBody
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.messages import (
    FutureResponse,
    IncomingRequest,
    IncomingResponse,
    OutgoingRequest,
    OutgoingResponse,
    method_of,
)


def fields(*entries: tuple[str, bytes]) -> Fields:
    made = Fields.from_list(entries)
    assert isinstance(made, Fields)
    return made


def incoming(method: str = "GET", headers: Any = ()) -> IncomingRequest:
    request = Request(
        method=method, script_name="", path_info="/a", target=b"/a?b", query=b"b", headers=headers
    )
    return IncomingRequest(request, BytesSource(b"body"))


@pytest.mark.parametrize(
    ("name", "case"),
    [("GET", "get"), ("PATCH", "patch"), ("get", ("other", "get")), ("PROPFIND", ("other", "PROPFIND"))],
)
def test_methods(name: str, case: object) -> None:
    assert method_of(name) == case
    assert incoming(name).method == case


def test_an_incoming_request() -> None:
    request = incoming(headers=[(b"host", b"host:1"), (b"accept", b"*/*")])
    assert (request.path_with_query, request.scheme, request.authority) == ("/a?b", "HTTP", "host:1")
    assert request.headers.entries() == [("accept", b"*/*")]
    assert request.headers is request.headers


@pytest.mark.parametrize("headers", [[], [(b"host", b"")]])
def test_a_request_without_a_host_is_for_where_the_server_listens(headers: list[tuple[bytes, bytes]]) -> None:
    assert incoming(headers=headers).authority == "localhost:80"


@pytest.mark.parametrize("message", [incoming(), IncomingResponse(200, Fields(), BytesSource(b"body"))])
def test_bodies_are_given_once(message: Any) -> None:
    body = message.consume()
    assert message.consume() is TAKEN
    stream = body.stream()
    assert body.stream() is TAKEN
    assert bytes(stream.take(9)) == b"body"
    for action in (body.finish, body.drop):
        with pytest.raises(GuestTrap, match="input-stream was alive"):
            action()
    stream.close()
    trailers = body.finish()
    assert trailers.get() == Ok(Ok(None))
    assert trailers.get() is TAKEN


@pytest.mark.parametrize(
    ("status", "fine"),
    [
        (200, True),
        (204, True),
        (599, True),
        (999, True),
        (100, False),
        (199, False),
        (0, False),
        (1000, False),
        (65535, False),
    ],
)
def test_statuses(status: int, fine: bool) -> None:
    response = OutgoingResponse(Fields())
    assert response.set_status(status) == (None if fine else TAKEN)
    assert response.status == (status if fine else 200)


def test_headers_given_to_a_message_cannot_be_changed_any_more() -> None:
    headers = fields(("a", b"1"))
    response = OutgoingResponse(headers)
    assert headers.append("a", b"2") == Err("immutable")
    assert response.headers.get("a") == [b"1"]


@pytest.mark.parametrize("values", [[b"x"], [b"-1"], [b"1", b"2"], [b""], [b"1" * 19], [b"\xb2"]])
def test_a_content_length_that_is_none(values: list[bytes]) -> None:
    headers = fields(*[("content-length", value) for value in values])
    with pytest.raises(GuestTrap, match="content-length"):
        OutgoingResponse(headers)


def test_an_outgoing_body() -> None:
    response = OutgoingResponse(fields(("content-length", b"5")))
    woken: list[int] = []
    response.pipe.on_wake(lambda: woken.append(response.pipe.size))
    body = response.body()
    assert isinstance(body, OutgoingBody)
    assert response.body() is TAKEN
    stream = body.write()
    assert body.write() is TAKEN
    assert not isinstance(stream, Err)
    stream.write(b"hel")
    assert woken == []
    stream.flush()
    stream.write(b"lo")
    for action in (lambda: body.finish(None), body.drop):
        with pytest.raises(GuestTrap, match="output-stream was alive"):
            action()
    stream.close()
    assert body.finish(fields(("x-sum", b"1"))) is None
    assert response.pipe.complete
    assert response.trailers is not None
    assert woken == [3, 5]
    assert response.pipe.take() == b"hello"


def test_a_body_shorter_than_promised() -> None:
    response = OutgoingResponse(fields(("content-length", b"5")))
    body = response.body()
    assert isinstance(body, OutgoingBody)
    assert body.finish(None) == Err(("HTTP-response-body-size", 0))
    assert not response.pipe.complete


def test_a_body_longer_than_promised() -> None:
    request = OutgoingRequest(fields(("content-length", b"2")))
    body = request.body()
    assert isinstance(body, OutgoingBody)
    stream = body.write()
    assert not isinstance(stream, Err)
    answer = stream.write(b"abc")
    assert answer is not None
    assert answer.value[1].detail == ("HTTP-request-body-size", 3)  # type: ignore[index]  # last-operation-failed


def test_a_body_given_up() -> None:
    response = OutgoingResponse(Fields())
    body = response.body()
    assert isinstance(body, OutgoingBody)
    body.drop()
    assert response.pipe.ended
    assert not response.pipe.complete


@pytest.mark.parametrize(
    ("setter", "good", "bad"),
    [
        ("set_method", ["get", ("other", "PROPFIND")], [("other", "A B"), ("other", ""), ("other", "a\r\n")]),
        (
            "set_path_with_query",
            [None, "/", "/a/b?c=d%20", "?x", "*", ""],
            ["a", "/a b", "/\r\n", "/é", "/#f", "http://x/", "/" + "a" * 70_000],
        ),
        (
            "set_scheme",
            [None, "HTTP", "HTTPS", ("other", "ftp")],
            [("other", "1x"), ("other", "a:b"), ("other", "")],
        ),
        (
            "set_authority",
            [None, "example.com", "example.com:8080", "[::1]:80", "127.0.0.1"],
            ["", "a b", "user@host", "host:", "host:123456", "host/", "a\r\nb", "é"],
        ),
    ],
)
def test_an_outgoing_request(setter: str, good: list[Any], bad: list[Any]) -> None:
    attribute = setter.removeprefix("set_")
    request = OutgoingRequest(Fields())
    for value in good:
        assert getattr(request, setter)(value) is None
        assert getattr(request, attribute) == value
    for value in bad:
        assert getattr(request, setter)(value) == TAKEN
        assert getattr(request, attribute) == good[-1]


def test_a_method_of_its_own_name_is_its_case() -> None:
    request = OutgoingRequest(Fields())
    request.set_method(("other", "POST"))
    assert request.method == "post"


async def test_a_future_response() -> None:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    response = FutureResponse(future)
    assert response.get() is None
    future.set_result(Err("connection-refused"))
    assert response.get() == Ok(Err("connection-refused"))
    assert response.get() is TAKEN
    given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    message = IncomingResponse(204, Fields(), BytesSource())
    given.set_result(message)
    assert FutureResponse(given).get() == Ok(Ok(message))


async def test_dropping_a_future_response_gives_it_up() -> None:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    FutureResponse(future).drop()
    assert future.cancelled()
