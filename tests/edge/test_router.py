from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.edge.router import Router, host_name


def found(router: Router[str], host: bytes, path: str) -> tuple[str, str] | None:
    match = router.find(host, path)
    return None if match is None else (match.target, match.script_name)


def test_an_exact_route_goes_before_a_prefix() -> None:
    router = Router([(None, "/a/*", "prefix"), (None, "/a/b", "exact")])
    assert found(router, b"h", "/a/b") == ("exact", "/a/b")
    assert found(router, b"h", "/a/b/") == ("prefix", "/a")
    assert found(router, b"h", "/a/bc") == ("prefix", "/a")


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    routes = [(None, "/*", "all"), (None, "/a/*", "a"), (None, "/a/b/*", "ab")]
    for order in (routes, routes[::-1]):
        router = Router(order)
        assert found(router, b"", "/a/b/c") == ("ab", "/a/b")
        assert found(router, b"", "/a/c") == ("a", "/a")
        assert found(router, b"", "/b") == ("all", "")
        assert found(router, b"", "/") == ("all", "")


def test_a_prefix_serves_its_own_name_unless_that_is_a_route() -> None:
    assert found(Router([(None, "/a/*", "a")]), b"", "/a") == ("a", "/a")
    assert found(Router([(None, "/a/*", "a"), (None, "/a", "own")]), b"", "/a") == ("own", "/a")
    assert found(Router([(None, "/a", "own"), (None, "/a/*", "a")]), b"", "/a") == ("own", "/a")


def test_a_prefix_ends_at_a_segment() -> None:
    router = Router([(None, "/a/*", "a")])
    assert found(router, b"", "/ab") is None
    assert found(router, b"", "/") is None


def test_a_host_has_its_own_routes_first_and_then_the_common_ones() -> None:
    router = Router([("a.example", "/x", "own"), (None, "/x", "common"), (None, "/y", "common")])
    assert found(router, b"a.example", "/x") == ("own", "/x")
    assert found(router, b"A.Example.:8080", "/x") == ("own", "/x")
    assert found(router, b"b.example", "/x") == ("common", "/x")
    assert found(router, b"a.example", "/y") == ("common", "/y")


def test_a_route_of_a_host_is_not_found_under_another() -> None:
    assert found(Router([("a.example", "/*", "a")]), b"b.example", "/x") is None
    assert Router().find(b"", "/") is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"example.com", "example.com"),
        (b"Example.COM:80", "example.com"),
        (b"example.com.", "example.com"),
        (b"example.com:", "example.com"),
        (b"[::1]:8080", "[::1]"),
        (b"[::1]", "[::1]"),
        (b"10.0.0.1:1", "10.0.0.1"),
        (b"", ""),
    ],
)
def test_host_names(host: bytes, name: str) -> None:
    assert host_name(host) == name


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4)


@given(st.lists(st.tuples(SEGMENTS, st.booleans()), max_size=8), SEGMENTS)
def test_it_finds_what_the_rule_says(routes: list[tuple[list[str], bool]], segments: list[str]) -> None:
    table: dict[str, str] = {}
    for parts, below in routes:
        route = "/" + "/".join(parts)
        route = route.rstrip("/") + "/*" if below else route
        table[route] = route
    path = "/" + "/".join(segments)
    candidates = [r for r in table if r.endswith("/*") and path.startswith(r[:-1])]
    candidates += [r for r in table if r.endswith("/*") and r != "/*" and path == r[:-2]]
    expected = path if path in table else max(candidates, key=len, default=None)
    match = Router([(None, route, target) for route, target in table.items()]).find(b"h", path)
    assert (None if match is None else match.target) == expected


def test_a_path_of_many_segments_costs_no_more() -> None:
    router = Router([(None, "/a/*", "a"), (None, "/a/b/c/*", "abc")])
    path = "/x" * 30_000
    started = time.perf_counter()
    for _ in range(1000):
        assert router.find(b"", path) is None
    assert time.perf_counter() - started < 0.5
