from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind import __version__
from wasmind.errors import RequestError
from wasmind.guest_api.cgi import Environment, Request
from wasmind.guest_api.cgi import request as module


def request(*headers: tuple[bytes, bytes], **changes: Any) -> Request:
    plain: dict[str, Any] = {
        "method": "GET",
        "script_name": "/hello",
        "path_info": "",
        "target": b"/hello",
        "query": b"",
        "headers": headers,
        "client": ("203.0.113.9", 50000),
        "server": ("example.org", 8080),
    }
    return Request(**(plain | changes))


def variables(of: Request, **env: str) -> dict[str, str]:
    pairs = [
        variable.decode("utf-8", "surrogateescape").partition("=")
        for variable in Environment(env).variables(of)
    ]
    found = {name: value for name, _, value in pairs}
    assert len(found) == len(pairs), "a variable is there twice"
    return found


def test_the_meta_variables() -> None:
    found = variables(
        request(
            (b"host", b"example.org:8080"),
            (b"content-type", b"image/png"),
            (b"content-length", b"123"),
            (b"accept", b"*/*"),
            (b"x-request-id", b"7"),
            method="POST",
            script_name="/classify",
            path_info="/cat/1",
            target=b"/classify/cat/1?top=5",
            query=b"top=5",
        )
    )
    assert found == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": f"wasmind/{__version__}",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/classify",
        "PATH_INFO": "/cat/1",
        "QUERY_STRING": "top=5",
        "REQUEST_URI": "/classify/cat/1?top=5",
        "REQUEST_SCHEME": "http",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.9",
        "REMOTE_PORT": "50000",
        "CONTENT_TYPE": "image/png",
        "CONTENT_LENGTH": "123",
        "HTTP_HOST": "example.org:8080",
        "HTTP_ACCEPT": "*/*",
        "HTTP_X_REQUEST_ID": "7",
    }


def test_without_a_body_there_is_no_length_and_no_type() -> None:
    assert not {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTPS"} & set(variables(request()))


def test_https() -> None:
    found = variables(request(scheme="https"))
    assert (found["HTTPS"], found["REQUEST_SCHEME"]) == ("on", "https")


def test_a_client_without_an_address() -> None:
    found = variables(request(client=None))
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("", "0")


@pytest.mark.parametrize("name", [b"proxy", b"Proxy", b"PROXY"])
def test_no_client_sets_http_proxy(name: bytes) -> None:
    """httpoxy, CVE-2016-5385."""
    assert "HTTP_PROXY" not in variables(request((name, b"http://evil.example")))


@pytest.mark.parametrize(
    "name", [b"x_forwarded_for", b"x-a_b", b"content_length", b"", b"a b", b"a=b", b"a\nb", b"\xff"]
)
def test_a_name_that_could_be_another_is_dropped(name: bytes) -> None:
    """`X_Forwarded_For` would pass for `X-Forwarded-For`."""
    plain = variables(request())
    assert variables(request((name, b"value"))) == plain


def test_repeated_headers_are_one_variable() -> None:
    found = variables(
        request(
            (b"accept", b"a"), (b"cookie", b"k=1"), (b"accept", b"b"), (b"cookie", b"l=2"), (b"accept", b"c")
        )
    )
    assert found["HTTP_ACCEPT"] == "a, b, c"
    assert found["HTTP_COOKIE"] == "k=1; l=2"


def test_configured_variables() -> None:
    found = variables(request((b"x-mode", b"evil")), GREETING="hä", HTTP_X_MODE="safe", EMPTY="")
    assert (found["GREETING"], found["EMPTY"]) == ("hä", "")
    assert found["HTTP_X_MODE"] == "safe"


def test_a_configured_variable_is_no_meta_variable() -> None:
    found = variables(request(method="PUT"), REQUEST_METHOD="GET", SERVER_SOFTWARE="mine", HTTPS="on")
    assert (found["REQUEST_METHOD"], found["SERVER_SOFTWARE"]) == ("PUT", f"wasmind/{__version__}")
    assert "HTTPS" not in found


def test_paths_are_bytes_to_the_guest() -> None:
    assert variables(request(path_info="/grün"))["PATH_INFO"] == "/grün"
    raw = Environment({}).variables(request(path_info="/\udcff"))
    assert b"PATH_INFO=/\xff" in raw


@pytest.mark.parametrize("changes", [{"path_info": "/a\0b"}, {"query": b"a\0"}, {"target": b"/\0"}])
def test_a_nul_would_cut_a_variable_short(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="NUL"):
        variables(request(**changes))


def test_arguments_are_encoded_once() -> None:
    assert Environment({}, ["guest", "ä"]).arguments == [b"guest", "ä".encode()]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((), False),
        (((b"content-length", b"0"),), False),
        (((b"content-length", b"5"),), True),
        (((b"transfer-encoding", b"chunked"),), True),
        (((b"content-type", b"text/plain"),), False),
    ],
)
def test_whether_a_body_is_announced(headers: tuple[tuple[bytes, bytes], ...], body: bool) -> None:
    assert request(*headers).has_body is body


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=20))
def test_any_headers_make_a_sound_environment(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        found = Environment({"A": "1"}).variables(request(*headers))
    except RequestError:
        assert any(b"\0" in value for _, value in headers)
        return
    names = [variable.partition(b"=")[0] for variable in found]
    assert len(set(names)) == len(names)
    assert not any(b"\0" in variable for variable in found)
    assert b"HTTP_PROXY" not in names


def test_clients_cannot_grow_the_table_of_names() -> None:
    for at in range(3000):
        variables(request((b"x-flood-%d" % at, b"1")))
    assert len(module._prefixes) <= module._NAMES_KEPT
    assert variables(request((b"x-flood-2999", b"1")))["HTTP_X_FLOOD_2999"] == "1"


def test_an_environment_is_cheap() -> None:
    """Generous, so that a busy machine passes: it is built in about 8 us."""
    environment = Environment({f"NAME_{at}": "value" for at in range(20)})
    of = request(*((b"x-header-%d" % at, b"value") for at in range(15)))
    best = min(_timed(environment, of) for _ in range(50))
    assert best < 200e-6


def _timed(environment: Environment, of: Request) -> float:
    began = time.perf_counter()
    environment.variables(of)
    return time.perf_counter() - began
