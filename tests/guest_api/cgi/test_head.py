from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.errors import MalformedResponse
from wasmind.guest_api.cgi.head import MAX_HEAD, MAX_HEADERS, Head, parse, split


def whole(data: bytes) -> tuple[Head, bytes]:
    found = split(data)
    assert found is not None
    lines, body = found
    return parse(lines), data[body:]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_response(newline: bytes) -> None:
    head, body = whole(
        newline.join(
            [
                b"Status: 201 Created",
                b"Content-Type: text/plain; charset=utf-8",
                b"X-Two:  a b ",
                b"",
                b"hello\r\n\r\nbye",
            ]
        )
    )
    assert head == Head(201, ((b"content-type", b"text/plain; charset=utf-8"), (b"x-two", b"a b")), None)
    assert body == b"hello\r\n\r\nbye"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Type: text/plain", 200),
        (b"Location: https://example.org/", 302),
        (b"Location: /local", 302),
        (b"Status: 301\nLocation: /x", 301),
        (b"Status: 404 Not Found", 404),
        (b"Status: 599", 599),
        (b"Status:\t200\tOK", 200),
        (b"status: 418 I'm a teapot: short and stout", 418),
    ],
)
def test_the_status(lines: bytes, status: int) -> None:
    assert parse(lines).status == status


@pytest.mark.parametrize(
    "status",
    [
        b"",
        b"OK",
        b"99",
        b"100",
        b"101 Switching",
        b"600",
        b"1000",
        b"20",
        b"200OK",
        b"-200",
        b"2e2",
        b"\xc2\xb2\x30\x30",
    ],
)
def test_what_is_no_status(status: bytes) -> None:
    with pytest.raises(MalformedResponse, match="no CGI response") as caught:
        parse(b"Status: " + status)
    assert "is not a status from 200 to 599" in str(caught.value.cause)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"Hello, world", 'the line "Hello, world" is not a header'),
        (b"Content Type: text/plain", "is not a header"),
        (b": value", "is not a header"),
        (b" folded: value", "is not a header"),
        (b"X-\xff: value", "is not a header"),
        (b"X-A: a\0b", "the header X-A holds a control character"),
        (b"X-A: a\rSet-Cookie: evil=1", "the header X-A holds a control character"),
        (b"X-A: \x1b[31m", "the header X-A holds a control character"),
        (b"X-A: a\x7f", "the header X-A holds a control character"),
        (b"Content-Type: text/html", "it has two content-type headers"),
        (b"Content-Length: 1\nContent-Length: 1", "it has two content-length headers"),
        (b"Location: /a\nLocation: /b", "it has two location headers"),
        (b"Content-Length: 0x10", "is not a Content-Length"),
        (b"Content-Length: -1", "is not a Content-Length"),
        (b"Content-Length: " + b"9" * 19, "is not a Content-Length"),
        (b"Content-Length:", "is not a Content-Length"),
    ],
)
def test_what_is_refused(line: bytes, why: str) -> None:
    with pytest.raises(MalformedResponse) as caught:
        parse(b"Content-Type: text/plain\n" + line)
    assert why in str(caught.value.cause)
    assert "an empty line, then the body" in str(caught.value.remedy)


def test_a_program_that_prints_its_body_at_once_is_told_what_is_missing() -> None:
    with pytest.raises(MalformedResponse) as caught:
        whole(b"<html>\n\n<body>")
    assert caught.value.cause == 'the line "<html>" is not a header'


@pytest.mark.parametrize("lines", [b"X-A: 1", b"Set-Cookie: a=b\nCache-Control: no-store"])
def test_headers_alone_are_no_cgi_response(lines: bytes) -> None:
    """RFC 3875, 6.3: Content-Type, Location or Status is there."""
    with pytest.raises(MalformedResponse, match="no CGI response") as caught:
        parse(lines)
    assert caught.value.cause == "it has none of Status, Content-Type and Location"


def test_an_empty_head_is_refused() -> None:
    for data in (b"\nbody", b"\r\nbody"):
        with pytest.raises(MalformedResponse):
            whole(data)


def test_headers_of_the_connection_are_dropped() -> None:
    head = parse(
        b"Status: 200\nConnection: close\nTransfer-Encoding: chunked\nKeep-Alive: 5\nUpgrade: x\nTE: y\n"
        b"Trailer: z\nProxy-Connection: close\nX-Kept: 1"
    )
    assert head.headers == ((b"x-kept", b"1"),)


def test_repeated_headers_stay_in_order() -> None:
    assert parse(b"Status: 200\nSet-Cookie: a=1\nSet-Cookie: b=2").headers == (
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    )


def test_values_may_be_utf8_and_empty() -> None:
    assert parse("Status: 200\nX-A: größe\nX-B:".encode()).headers == (
        (b"x-a", "größe".encode()),
        (b"x-b", b""),
    )


def test_the_length_is_read() -> None:
    assert parse(b"Status: 200\nContent-Length: 0042").length == 42


@pytest.mark.parametrize(("status", "bodiless"), [(200, False), (204, True), (304, True), (404, False)])
def test_which_statuses_have_no_body(status: int, bodiless: bool) -> None:
    assert Head(status, [], None).bodiless is bodiless


def test_the_number_of_headers_is_bounded() -> None:
    lines = b"\n".join(b"X-%d: 1" % at for at in range(MAX_HEADERS - 1))
    assert len(parse(b"Content-Type: a/b\n" + lines).headers) == MAX_HEADERS
    with pytest.raises(MalformedResponse, match="no CGI response") as caught:
        parse(b"Content-Type: a/b\nX-More: 1\n" + lines)
    assert "more than 128 headers" in str(caught.value.cause)


def test_the_size_of_the_head_is_bounded() -> None:
    assert split(b"X-A: " + b"a" * (MAX_HEAD - 10)) is None
    for data in (b"X-A: " + b"a" * MAX_HEAD, b"X-A: " + b"a" * MAX_HEAD + b"\n\n"):
        with pytest.raises(MalformedResponse) as caught:
            split(data)
        assert caught.value.cause == "its headers take more than 65536 bytes"
    with pytest.raises(MalformedResponse) as caught:
        split(b"plain text " * 10_000)
    assert 'and begins with "plain text plain text' in str(caught.value.cause)


def test_what_a_guest_wrote_is_shown_escaped() -> None:
    with pytest.raises(MalformedResponse) as caught:
        parse(b"\x1b[31mred\x07")
    assert "\x1b" not in str(caught.value.cause)


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        found = split(data)
        if found is not None:
            head = parse(found[0])
            assert 200 <= head.status <= 599
            for name, value in head.headers:
                assert name == name.lower()
                assert not set(b"\r\n\0") & set(name + value)
    except MalformedResponse as error:
        assert error.cause  # noqa: PT017 - either outcome is right


@given(st.integers(0, 100))
def test_a_head_in_two_parts_is_the_same_head(cut: int) -> None:
    data = b"Status: 200\r\nContent-Type: text/plain\r\n\r\nbody"
    end = data.index(b"body")
    assert (split(data[:cut]) is None) == (cut < end)
    assert split(data) == (b"Status: 200\r\nContent-Type: text/plain", end)
