"""A request in the words of either version of HTTP."""

from __future__ import annotations

import hpack
import pytest

from wasmind.backends.oip.request import Request

MORE = {"content-type": "application/json", "authorization": "Bearer " + "x" * 20_000}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_versions_say_the_same(method: str) -> None:
    request = Request(method, "https://h:8443/base/", "/v2/models/m")
    first, *lines = request.http1(MORE).decode().split("\r\n")
    assert first == f"{method} /base/v2/models/m HTTP/1.1"
    assert lines[-2:] == ["", ""]
    one = dict(line.split(": ", 1) for line in lines[:-2])
    two = dict(hpack.Decoder(1 << 20).decode(request.http2(MORE)))
    assert two.pop(":method") == method
    assert two.pop(":scheme") == "https"
    assert two.pop(":path") == "/base/v2/models/m"
    assert two.pop(":authority") == one.pop("host") == "h:8443"
    assert one == two == {"accept": "*/*", "accept-encoding": "identity", **MORE}
