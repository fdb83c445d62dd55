"""What gRPC answers mean, by the words of its specification."""

from __future__ import annotations

import pytest

from wasmind.backends.oip.exchange import Answer, StreamReset
from wasmind.backends.oip.status import NAMES, Failed, message_of, of_reset
from wasmind.httpd import frames

OK = {b"grpc-status": b"0"}


def answer(body: bytes = b"", trailers: dict[bytes, bytes] | None = None, status: int = 200) -> Answer:
    found = Answer()
    found.status, found.body, found.trailers = status, body, OK if trailers is None else trailers
    return found


def test_a_message() -> None:
    assert bytes(message_of(answer(b"\0\0\0\0\x05hello"))) == b"hello"
    assert bytes(message_of(answer(b"\0\0\0\0\0"))) == b""


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0\0", b"\0\0\0\0\x05four", b"\0\0\0\0\x01xx", b"\0\xff\xff\xff\xff", b"\1\0\0\0\x01x"],
)
def test_what_is_no_message(body: bytes) -> None:
    with pytest.raises(Failed) as raised:
        message_of(answer(body))
    assert raised.value.name == "INTERNAL"


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES))[1:])
def test_each_status_by_its_name(number: int, name: str) -> None:
    with pytest.raises(Failed) as raised:
        message_of(answer(trailers={b"grpc-status": b"%d" % number, b"grpc-message": b"100 %25 \xc3\xa4%0A"}))
    assert (raised.value.name, str(raised.value)) == (name, "100 % ä\n")


@pytest.mark.parametrize("told", [b"17", b"-1", b"", b"x", b"9" * 5000, "²".encode()])
def test_a_status_that_is_none(told: bytes) -> None:
    with pytest.raises(Failed) as raised:
        message_of(answer(trailers={b"grpc-status": told}))
    assert (raised.value.name, str(raised.value)) == ("UNKNOWN", "no text")


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (200, "UNKNOWN"),
        (302, "UNKNOWN"),
        (400, "INTERNAL"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "UNIMPLEMENTED"),
        (429, "UNAVAILABLE"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "UNAVAILABLE"),
    ],
)
def test_an_answer_that_is_no_grpc(status: int, name: str) -> None:
    with pytest.raises(Failed, match=str(status)) as raised:
        message_of(answer(b"<html>", {}, status))
    assert raised.value.name == name


def test_a_success_of_an_http_error_is_none() -> None:
    with pytest.raises(Failed):
        message_of(answer(b"\0\0\0\0\0", OK, 500))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (frames.NO_ERROR, "INTERNAL"),
        (frames.PROTOCOL_ERROR, "INTERNAL"),
        (frames.REFUSED_STREAM, "UNAVAILABLE"),
        (frames.CANCEL, "CANCELLED"),
        (frames.ENHANCE_YOUR_CALM, "RESOURCE_EXHAUSTED"),
        (frames.INADEQUATE_SECURITY, "PERMISSION_DENIED"),
    ],
)
def test_a_stream_that_was_reset(code: int, name: str) -> None:
    failed = of_reset(StreamReset(code, "its words"))
    assert (failed.name, str(failed)) == (name, "its words")
