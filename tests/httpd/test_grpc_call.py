"""Calls as their application sees them: the deadline and the message that a client sent."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from wasmind.httpd.grpc_call import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, Call, Refused

LIMIT = 100


def call(data: bytes = b"", **headers: bytes) -> Call:
    connection: Any = SimpleNamespace(server=SimpleNamespace(loop=SimpleNamespace(time=lambda: 0.0)))
    sent = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    made = Call(connection, 1, sent, 0)
    made.data += data
    return made


def message(data: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"500m", 0.5), (b"9u", 9e-6), (b"7n", 7e-9)],
)
def test_a_deadline_in_each_unit(sent: bytes, seconds: float) -> None:
    assert call(grpc_timeout=sent).timeout == pytest.approx(seconds)


def test_no_deadline_is_none() -> None:
    assert call().timeout is None


@pytest.mark.parametrize("sent", [b"", b"S", b"1", b"1s", b"123456789S", b"-1S", b"1S\n"])
def test_a_deadline_that_is_none_is_refused(sent: bytes) -> None:
    with pytest.raises(Refused) as refused:
        _ = call(grpc_timeout=sent).timeout
    assert refused.value.code == INVALID_ARGUMENT


def test_a_message_plain_and_packed() -> None:
    assert call(message(b"x")).message(LIMIT) == b"x"
    assert call(message(zlib.compress(b"x"), 1), grpc_encoding=b"deflate").message(LIMIT) == b"x"


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (b"", b"gzip", INVALID_ARGUMENT),
        (message(b"x") * 2, b"gzip", INVALID_ARGUMENT),
        (message(b"x", 1), b"snappy", UNIMPLEMENTED),
        (message(zlib.compress(bytes(LIMIT + 1)), 1), b"deflate", RESOURCE_EXHAUSTED),
        (message(zlib.compress(b"x")[:-1], 1), b"deflate", INVALID_ARGUMENT),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, encoding: bytes, code: int) -> None:
    with pytest.raises(Refused) as refused:
        call(data, grpc_encoding=encoding).message(LIMIT)
    assert refused.value.code == code
