from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.edge.request import Head, cgi_request, request_id
from wasmind.errors import RequestError


def scope(path: str = "/x", raw: bytes | None = None, version: str = "1.1", **headers: str) -> dict[str, Any]:
    given_headers = [
        (name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()
    ]
    if "host" not in headers:
        given_headers.insert(0, (b"host", b"example.com"))
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode() if raw is None else raw,
        "query_string": b"",
        "headers": given_headers,
        "http_version": version,
        "scheme": "http",
        "client": ("10.0.0.9", "4711"),
        "server": ("127.0.0.1", "8080"),
    }


def refusal(of: dict[str, Any]) -> RequestError:
    with pytest.raises(RequestError) as refused:
        Head(of)
    assert refused.value.status == 400
    assert refused.value.remedy
    return refused.value


def test_an_ordinary_request() -> None:
    head = Head(scope("/a b", b"/a%20b", content_length="12"))
    assert (head.method, head.path, head.host, head.length, head.chunked) == (
        "GET",
        "/a b",
        b"example.com",
        12,
        False,
    )


def test_no_length_means_no_body() -> None:
    head = Head(scope())
    assert (head.length, head.chunked) == (0, False)


def test_chunked() -> None:
    head = Head(scope(transfer_encoding="Chunked"))
    assert (head.length, head.chunked) == (0, True)


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "gzip", "", "identity", "xchunked"])
def test_other_transfer_codings_are_refused(coding: str) -> None:
    assert "framing" in refusal(scope(transfer_encoding=coding)).message


def test_both_framings_are_refused() -> None:
    assert "framing" in refusal(scope(transfer_encoding="chunked", content_length="3")).message


@pytest.mark.parametrize(
    "name", ["host", "content-length", "transfer-encoding", "content-type", "x-request-id"]
)
def test_a_repeated_header_that_decides_something_is_refused(name: str) -> None:
    request = scope()
    request["headers"] += [(name.encode(), b"1"), (name.encode(), b"1")]
    assert name in refusal(request).message


def test_other_headers_may_repeat() -> None:
    request = scope()
    request["headers"] += [
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"accept", b"*/*"),
        (b"accept", b"text/html"),
    ]
    assert Head(request).path == "/x"


@pytest.mark.parametrize(
    "host", ["", "a b", "a/b", "a@b", "a,b", "a:b", "a:123456", "[::1", "é", "a\x00", "::1", "[x]"]
)
def test_a_missing_or_malformed_host_is_refused(host: str) -> None:
    refusal(scope(host=host))


@pytest.mark.parametrize(
    "host", ["a", "a:80", "a.", "[::1]", "[::1]:8080", "127.0.0.1:9", "a_b.example", "a:"]
)
def test_hosts(host: str) -> None:
    assert Head(scope(host=host)).host == host.encode()


def test_http_1_0_needs_no_host() -> None:
    assert Head(scope(host="", version="1")).host == b""
    refusal(scope(host="a b", version="1"))


@pytest.mark.parametrize("raw", [b"", b"*", b"example.com:443", b"x"])
def test_a_target_that_is_no_path_is_refused(raw: bytes) -> None:
    refusal(scope(raw.decode(), raw))


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/%zz", b"/%zz"),
        ("/a%", b"/a%"),
        ("/a%2", b"/a%2"),
        ("/\x00", b"/%00"),
        ("/a\nb", b"/a%0ab"),
        ("/\x7f", b"/%7f"),
        ("/\ufffd", b"/%ff"),
        ("/a/../b", b"/a/../b"),
        ("/a/../b", b"/a/%2e%2e/b"),
        ("/..", b"/.."),
        ("/.", b"/."),
        ("/a/./b", b"/a/./b"),
        ("/a/..", b"/a/%2E."),
    ],
)
def test_malformed_paths_are_refused(path: str, raw: bytes) -> None:
    refusal(scope(path, raw))


@pytest.mark.parametrize("path", ["/.well-known/x", "/a..b", "/...", "/a/.b", "/é", "/a//b", "/%"])
def test_paths_with_harmless_dots_and_letters(path: str) -> None:
    assert Head(scope(path, path.replace("%", "%25").encode())).path == path


@given(st.text(alphabet="/.%ab\x00é", max_size=12))
def test_no_path_that_climbs_gets_through(rest: str) -> None:
    path = "/" + rest
    try:
        head = Head(scope(path, path.replace("%", "%25").encode()))
    except RequestError:
        return
    assert not {".", ".."} & set(head.path.split("/"))
    assert "\x00" not in head.path


@pytest.mark.parametrize("sent", [b"a", b"0f-9_A.~:/+=@", b"x" * 128])
def test_a_harmless_request_id_is_kept(sent: bytes) -> None:
    assert request_id([(b"host", b"h"), (b"x-request-id", sent)]) == sent


@pytest.mark.parametrize("sent", [b"", b"x" * 129, b"a b", b"a\x1b[31m", b"a\n", b"<script>", b'"', b"\xe9"])
def test_any_other_request_id_is_replaced(sent: bytes) -> None:
    made = request_id([(b"x-request-id", sent)])
    assert made != sent
    assert 8 < len(made) <= 128


def test_request_ids_differ() -> None:
    assert len({request_id([]) for _ in range(100)}) == 100


def test_the_cgi_request() -> None:
    sent = scope("/classify/cat/1", content_length="0") | {"query_string": b"top=5", "method": "POST"}
    request = cgi_request(Head(sent), "/classify")
    assert (request.method, request.script_name, request.path_info) == ("POST", "/classify", "/cat/1")
    assert (request.target, request.query) == (b"/classify/cat/1?top=5", b"top=5")
    assert (request.client, request.server) == (("10.0.0.9", 4711), ("127.0.0.1", 8080))
    assert (request.http_version, request.scheme) == ("1.1", "http")


def test_the_cgi_request_of_http_1_0_without_a_query() -> None:
    request = cgi_request(Head(scope("/x", host="", version="1")), "")
    assert (request.http_version, request.target, request.path_info) == ("1.0", b"/x", "/x")
