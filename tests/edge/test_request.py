from __future__ import annotations

from wasmind.edge.request import cgi_request
from wasmind.httpd.head import Head


def test_the_cgi_request() -> None:
    head = Head(
        b"POST", b"/classify/cat/1?top=5", [(b"host", b"example.com"), (b"content-length", b"0")], "1.1"
    )
    request = cgi_request(head, "/classify", ("10.0.0.9", 4711), ("127.0.0.1", 8080))
    assert (request.method, request.script_name, request.path_info) == ("POST", "/classify", "/cat/1")
    assert (request.target, request.query) == (b"/classify/cat/1?top=5", b"top=5")
    assert (request.client, request.server) == (("10.0.0.9", 4711), ("127.0.0.1", 8080))
    assert (request.http_version, request.scheme) == ("1.1", "http")


def test_the_cgi_request_of_a_route_for_everything() -> None:
    request = cgi_request(
        Head(b"GET", b"/x", [(b"host", b"example.com")], "1.1"), "", ("10.0.0.9", 4711), ("127.0.0.1", 8080)
    )
    assert (request.script_name, request.path_info, request.query) == ("", "/x", b"")
