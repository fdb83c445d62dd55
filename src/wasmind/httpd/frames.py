"""HTTP/2 frames (RFC 9113): their numbers, how they are written, and the header blocks of gRPC."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from urllib.parse import quote

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
MAX_FRAME = 16_384
"""Bytes of a frame's payload, in both directions: the protocol's default, which every peer takes."""
MAX_WINDOW = (1 << 31) - 1

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0, 1, 3, 5, 6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY = 7, 8, 9, 11, 12

TABLE_SETTING, PUSH_SETTING = 1, 2
MAX_STREAMS_SETTING, WINDOW_SETTING, FRAME_SETTING, HEADERS_SETTING = 3, 4, 5, 6
_ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

_HEAD = Struct(">HBBBI").pack


def error_name(code: int) -> str:
    """What the standard calls an error."""
    return _ERRORS[code] if code < len(_ERRORS) else f"error {code}"


def head(size: int, kind: int, flags: int, stream: int) -> bytes:
    """The head of a frame whose payload has `size` bytes."""
    return _HEAD(size >> 8, size & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return head(len(payload), kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    pairs = (number.to_bytes(2, "big") + value.to_bytes(4, "big") for number, value in values.items())
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def window_update(stream: int, more: int) -> bytes:
    """Let the peer send so many bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, more.to_bytes(4, "big"))


def reset(stream: int, code: int) -> bytes:
    """End a stream without an answer."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int, words: bytes = b"") -> bytes:
    """Accept no streams after `last`."""
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + words)


# --- header blocks: literals that are not indexed (RFC 7541, 6.2.2), so no state is kept for them -----------

NO_TABLE = b"\x20"
"""Begins a connection's first block: its writer keeps no table, however small the reader wants one."""

_STATUS_200 = b"\x88"
_CONTENT_TYPE = b"\x0f\x10\x10application/grpc"


def literal(name: bytes, value: bytes) -> bytes:
    """A header by its name, which has less than 127 bytes."""
    return b"\x00%b%b%b%b" % (bytes((len(name),)), name, _length(len(value)), value)


def _length(size: int) -> bytes:
    """A string's length, with a prefix of 7 bits (RFC 7541, 5.1)."""
    if size < 127:
        return bytes((size,))
    size -= 127
    found = bytearray(b"\x7f")
    while size >= 128:
        found.append(size % 128 + 128)
        size //= 128
    found.append(size)
    return bytes(found)


def request(method: str, scheme: str, authority: str, path: str) -> bytes:
    """The headers that each request begins with."""
    found = {"GET": b"\x82", "POST": b"\x83"}[method] + {"http": b"\x86", "https": b"\x87"}[scheme]
    for index, value in ((b"\x01", authority.encode()), (b"\x04", path.encode())):
        found += index + _length(len(value)) + value
    return found


ANSWER_HEAD = _STATUS_200 + _CONTENT_TYPE + literal(b"grpc-accept-encoding", b"identity,deflate,gzip")
SUCCESS = literal(b"grpc-status", b"0")


@lru_cache(256)
def trailers(code: int, words: str) -> bytes:
    """The trailers that tell a status; the words are percent-encoded (gRPC over HTTP/2, "Responses")."""
    status = literal(b"grpc-status", b"%d" % code)
    return status + literal(
        b"grpc-message", quote(words[:2000], safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~").encode()
    )


def http_status(status: int) -> bytes:
    """A head that is no gRPC's."""
    return b"\x08\x03%d" % status
