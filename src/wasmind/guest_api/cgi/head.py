"""The head of a CGI program's response (RFC 3875, section 6): `Status:` and headers, read as they come."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from wasmind.errors import MalformedResponse
from wasmind.telemetry.escape import escape

MAX_HEAD = 64 << 10
"""Bytes of all header lines together."""
MAX_HEADERS = 128
KNOWN = 256
"""How many heads are remembered: most functions write the same few."""
MAX_KNOWN = 512
"""Bytes of a head that is remembered."""

_END = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
_STATUS = re.compile(rb"([2-9][0-9]{2})(?:[ \t]|\Z)")
_ONCE = frozenset((b"status", b"content-type", b"content-length", b"location"))
_CONNECTION = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Headers about the connection (RFC 9110, 7.6.1), which is the server's: a guest's are dropped."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """A response's status and headers. Names are in lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    length: int | None
    """What `Content-Length` promises, when it is there."""

    @property
    def bodiless(self) -> bool:
        """Whether this status never has a body (RFC 9110, 6.4.1)."""
        return self.status in (204, 304)


def split(data: bytes | bytearray) -> tuple[bytes, int] | None:
    """Find the end of the head in all that came so far: its lines, and where the body begins; None if it is
    not there.

    Raises MalformedResponse when there can be no end: the head is over its limit.
    """
    found = _END.search(data)
    if found is None or found.end() > MAX_HEAD:
        if len(data) > MAX_HEAD:
            raise _malformed(f"its headers take more than {MAX_HEAD} bytes{_first_line(data)}")
        return None
    return bytes(data[: found.start()]), found.end()


def parse(lines: bytes) -> Head:
    """Read the header lines. Raises MalformedResponse."""
    return _known(lines) if len(lines) <= MAX_KNOWN else _parse(lines)


@lru_cache(KNOWN)
def _known(lines: bytes) -> Head:
    return _parse(lines)


def _parse(lines: bytes) -> Head:
    status: int | None = None
    location: bytes | None = None
    length: int | None = None
    seen: set[bytes] = set()
    headers: list[tuple[bytes, bytes]] = []
    for line in lines.split(b"\n"):
        name, value = _field(line.removesuffix(b"\r"))
        if name in _ONCE:
            if name in seen:
                raise _malformed(f"it has two {name.decode()} headers")
            seen.add(name)
        if name == b"status":
            status = _status(value)
            continue
        if name in _CONNECTION:
            continue
        if name == b"location":
            location = value
        elif name == b"content-length":
            length = _length(value)
        headers.append((name, value))
        if len(headers) > MAX_HEADERS:
            raise _malformed(f"it has more than {MAX_HEADERS} headers")
    if not seen:
        raise _malformed("it has none of Status, Content-Type and Location")
    if status is None:
        status = 302 if location else 200
    return Head(status, tuple(headers), length)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.match(name):
        raise _malformed(f'the line "{_shown(line)}" is not a header')
    value = value.strip(b" \t")
    if not _VALUE.match(value):
        raise _malformed(f"the header {name.decode()} holds a control character")
    return name.lower(), value


def _status(value: bytes) -> int:
    found = _STATUS.match(value)
    if not found or int(found[1]) > 599:
        raise _malformed(f'"{_shown(value)}" is not a status from 200 to 599 with an optional reason')
    return int(found[1])


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise _malformed(f'"{_shown(value)}" is not a Content-Length')
    return int(value)


def _first_line(data: bytes | bytearray) -> str:
    line = bytes(data[:80]).partition(b"\n")[0]
    return f', and begins with "{_shown(line)}"' if b":" not in line else ""


def _shown(data: bytes) -> str:
    return escape(data[:80].decode("utf-8", "replace")) + ("…" if len(data) > 80 else "")


def _malformed(cause: str) -> MalformedResponse:
    return MalformedResponse(
        "the function wrote no CGI response",
        cause=cause,
        remedy="write header lines such as `Content-Type: text/plain`, an empty line, then the body",
    )
