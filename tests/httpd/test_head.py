from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.errors import RequestError
from wasmind.httpd.head import Head, request_id


def headers_of(**headers: str) -> list[tuple[bytes, bytes]]:
    found = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return found if "host" in headers else [(b"host", b"example.com"), *found]


def head_of(target: bytes = b"/x", version: str = "1.1", **headers: str) -> Head:
    return Head(b"GET", target, headers_of(**headers), version)


def refusal(target: bytes = b"/x", version: str = "1.1", **headers: str) -> RequestError:
    with pytest.raises(RequestError) as refused:
        head_of(target, version, **headers)
    assert refused.value.status == 400
    assert refused.value.remedy
    return refused.value


def test_an_ordinary_request() -> None:
    head = head_of(b"/a%20b?c=%20d?e", content_length="12")
    assert (head.method, head.path, head.query, head.target) == (
        "GET",
        "/a b",
        b"c=%20d?e",
        b"/a%20b?c=%20d?e",
    )
    assert (head.host, head.length, head.chunked, head.version) == (b"example.com", 12, False, "1.1")


def test_no_length_means_no_body() -> None:
    head = head_of()
    assert (head.length, head.chunked) == (0, False)


def test_chunked() -> None:
    head = head_of(transfer_encoding="Chunked")
    assert (head.length, head.chunked) == (0, True)


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "gzip", "", "identity", "xchunked"])
def test_other_transfer_codings_are_refused(coding: str) -> None:
    assert "framing" in refusal(transfer_encoding=coding).message


def test_chunks_are_not_for_http_1_0() -> None:
    assert "framing" in refusal(version="1.0", transfer_encoding="chunked").message


def test_both_framings_are_refused() -> None:
    assert "framing" in refusal(transfer_encoding="chunked", content_length="3").message


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", ""])
def test_other_versions_are_refused(version: str) -> None:
    assert version in refusal(version=version).message


@pytest.mark.parametrize(
    "name", [b"host", b"content-length", b"transfer-encoding", b"content-type", b"x-request-id"]
)
def test_a_repeated_header_that_decides_something_is_refused(name: bytes) -> None:
    with pytest.raises(RequestError, match=name.decode()):
        Head(b"GET", b"/", [*headers_of(), (name, b"1"), (name, b"1")], "1.1")


def test_other_headers_may_repeat() -> None:
    repeated = [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"accept", b"*/*"), (b"accept", b"text/html")]
    assert Head(b"GET", b"/", [*headers_of(), *repeated], "1.1").headers[1:] == repeated


@pytest.mark.parametrize(
    "host", ["", "a b", "a/b", "a@b", "a,b", "a:b", "a:123456", "[::1", "é", "a\x00", "::1", "[x]"]
)
def test_a_missing_or_malformed_host_is_refused(host: str) -> None:
    refusal(host=host)


@pytest.mark.parametrize(
    "host", ["a", "a:80", "a.", "[::1]", "[::1]:8080", "127.0.0.1:9", "a_b.example", "a:"]
)
def test_hosts(host: str) -> None:
    assert head_of(host=host).host == host.encode()


def test_http_1_0_needs_no_host() -> None:
    assert Head(b"GET", b"/", [], "1.0").host == b""
    with pytest.raises(RequestError):
        Head(b"GET", b"/", [], "1.1")
    refusal(version="1.0", host="a b")


def test_the_host_of_an_absolute_target_overrules_the_header() -> None:
    head = head_of(b"http://other.example:81/a/b?c")
    assert (head.host, head.path, head.query, head.target) == (b"other.example:81", "/a/b", b"c", b"/a/b?c")
    assert dict(head.headers)[b"host"] == b"other.example:81"
    assert head_of(b"HTTPS://other.example").path == "/"
    assert head_of(b"http://other.example?c").query == b"c"
    refusal(b"http:///a")
    refusal(b"http://user@other.example/a")


@pytest.mark.parametrize("target", [b"", b"*", b"example.com:443", b"x", b"ftp://h/x"])
def test_a_target_that_is_no_path_is_refused(target: bytes) -> None:
    refusal(target)


@pytest.mark.parametrize(
    "target",
    [
        b"/%zz",
        b"/a%",
        b"/a%2",
        b"/%00",
        b"/a%0ab",
        b"/%7f",
        b"/%ff",
        b"/\xe9",
        b"/a#b",
        b"/a/../b",
        b"/a/%2e%2e/b",
        b"/..",
        b"/.",
        b"/a/./b",
        b"/a/%2E.",
    ],
)
def test_malformed_paths_are_refused(target: bytes) -> None:
    refusal(target)


@pytest.mark.parametrize(
    "path", ["/.well-known/x", "/a..b", "/...", "/a/.b", "/é", "/a//b", "/%", "/\ufffd", "/?", "/#"]
)
def test_paths_with_harmless_dots_and_letters(path: str) -> None:
    assert head_of(quote(path).encode()).path == path


@given(st.text(max_size=12) | st.text(alphabet="/.%ab\x00é", max_size=12))
def test_no_path_that_climbs_gets_through(rest: str) -> None:
    path = "/" + rest
    try:
        head = head_of(quote(path, errors="replace").encode())
    except RequestError:
        return
    assert not {".", ".."} & set(head.path.split("/"))
    assert "\x00" not in head.path


@given(st.binary(max_size=30))
def test_any_target_is_taken_or_refused(target: bytes) -> None:
    for raw in (target, b"/" + target):
        try:
            head = head_of(raw)
        except RequestError:
            continue
        assert head.path.startswith("/")


@pytest.mark.parametrize("sent", [b"a", b"0f-9_A.~:/+=@", b"x" * 128])
def test_a_harmless_request_id_is_kept(sent: bytes) -> None:
    assert request_id(sent) == sent


@pytest.mark.parametrize("sent", [b"", b"x" * 129, b"a b", b"a\x1b[31m", b"a\n", b"<script>", b'"', b"\xe9"])
def test_any_other_request_id_is_replaced(sent: bytes) -> None:
    made = request_id(sent)
    assert made != sent
    assert 8 < len(made) <= 128


def test_request_ids_differ() -> None:
    assert len({request_id(b"") for _ in range(100)}) == 100
