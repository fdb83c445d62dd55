"""Origins: whom a function may send requests to."""

from __future__ import annotations

from typing import NamedTuple

from wasmind.config import BACKEND
from wasmind.errors import ConfigError

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """A scheme, a host in lower case, and a port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def backend(text: str) -> Origin:
    """Read an entry of a function's `backends`: `api.example.com`, `api.example.com:8443`, `http://10.0.0.7:9000`.

    Without a scheme it is https. Raises ConfigError.
    """
    found = BACKEND.match(text)
    if not found or not 0 < int(found["port"] or 1) <= 0xFFFF:
        raise ConfigError(
            f"{text!r} is no backend",
            remedy='give a host, such as "api.example.com" or "http://10.0.0.7:9000"',
        )
    scheme = found["scheme"] or "https"
    return Origin(scheme, found["host"].lower(), int(found["port"] or _PORTS[scheme]))


def origin_of(scheme: str, authority: str) -> Origin | None:
    """The origin of a request; None if it has none that can be reached."""
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, ""
    if scheme not in _PORTS or not host or not (port.isascii() and (port.isdigit() or not port)):
        return None
    number = int(port or _PORTS[scheme])
    return Origin(scheme, host.lower(), number) if 0 < number <= 0xFFFF else None
