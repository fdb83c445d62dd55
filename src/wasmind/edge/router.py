"""Which function serves a host and path: a host's own routes first, exact before prefix, longest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Served = TypeVar("Served")


class Match(NamedTuple, Generic[Served]):
    """A route that was found."""

    target: Served
    script_name: str
    """The part of the path that the route names, without its final `/*`: `/classify`, or "" for `/*`."""


class _Routes(Generic[Served]):
    """One host's routes. A look-up costs an access per length of prefix, however long the path is."""

    __slots__ = ("_exact", "_lengths", "_prefixes")

    def __init__(self) -> None:
        self._exact: dict[str, Match[Served]] = {}
        self._prefixes: dict[str, Match[Served]] = {}
        self._lengths: list[int] = []

    def add(self, route: str, target: Served) -> None:
        if not route.endswith("/*"):
            self._exact[route] = Match(target, route)
            return
        self._prefixes[route[:-1]] = Match(target, route[:-2])
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)

    def close(self) -> None:
        """`/classify/*` serves `/classify` as well, unless that is a route of its own."""
        for prefix, match in self._prefixes.items():
            if prefix != "/":
                self._exact.setdefault(prefix[:-1], match)

    def find(self, path: str) -> Match[Served] | None:
        found = self._exact.get(path)
        if found is not None:
            return found
        for length in self._lengths:
            found = self._prefixes.get(path[:length])
            if found is not None:
                return found
        return None


class Router(Generic[Served]):
    """An immutable table of routes: a new configuration makes a new one."""

    __slots__ = ("_any", "_hosts")

    def __init__(self, routes: Iterable[tuple[str | None, str, Served]] = ()) -> None:
        """`routes` are host (None: any), path (`/exact` or `/below/*`) and target."""
        self._any: _Routes[Served] = _Routes()
        self._hosts: dict[str, _Routes[Served]] = {}
        for host, route, target in routes:
            table = self._any if host is None else self._hosts.setdefault(host.lower().rstrip("."), _Routes())
            table.add(route, target)
        for table in (self._any, *self._hosts.values()):
            table.close()

    def find(self, host: bytes, path: str) -> Match[Served] | None:
        """The route for a `Host` header (its port does not matter) and a decoded path."""
        if self._hosts:
            own = self._hosts.get(host_name(host))
            found = own.find(path) if own is not None else None
            if found is not None:
                return found
        return self._any.find(path)


def host_name(host: bytes) -> str:
    """A `Host` header's name in lower case, without port and final dot; IPv6 keeps its brackets."""
    name, separator, port = host.rpartition(b":")
    if not separator or (not port.isdigit() and port) or (name.startswith(b"[") and not name.endswith(b"]")):
        name = host
    return name.lower().rstrip(b".").decode("latin-1")
