from __future__ import annotations

import json

import pytest

from wasmind.errors import FunctionBusy, GuestTrap, ModelUnavailable, RouteNotFound, WasmindError
from wasmind.httpd.problems import problem


def every_error(kind: type[WasmindError] = WasmindError) -> list[type[WasmindError]]:
    return [kind, *(child for direct in kind.__subclasses__() for child in every_error(direct))]


def test_in_production_only_code_and_title_are_told() -> None:
    trap = GuestTrap("the function trapped", cause="unreachable at main.c:3", remedy="mend it")
    headers, body = problem(trap, b"abc-1", dev=False)
    assert dict(headers)[b"content-type"] == b"application/problem+json"
    assert json.loads(body) == {
        "type": "urn:wasmind:problem:guest-trap",
        "title": "The function trapped",
        "status": 502,
        "code": "guest-trap",
        "instance": "abc-1",
    }


def test_in_dev_mode_everything_is_told() -> None:
    trap = GuestTrap("the function trapped", cause="unreachable at main.c:3", remedy="mend it")
    document = json.loads(problem(trap, b"abc-1", dev=True)[1])
    assert document["detail"] == "the function trapped"
    assert document["cause"] == "unreachable at main.c:3"
    assert document["remedy"] == "mend it"


def test_members_that_are_not_known_are_left_out() -> None:
    document = json.loads(problem(RouteNotFound("nothing at /x"), b"i", dev=True)[1])
    assert "cause" not in document
    assert "remedy" not in document


def test_a_retry_is_whole_seconds_and_never_zero() -> None:
    assert dict(problem(FunctionBusy("busy"), b"i", dev=False)[0])[b"retry-after"] == b"1"
    assert dict(problem(ModelUnavailable("down"), b"i", dev=False)[0])[b"retry-after"] == b"2"
    soon = FunctionBusy("busy")
    soon.retry_after = 0.2
    assert dict(problem(soon, b"i", dev=False)[0])[b"retry-after"] == b"1"
    assert b"retry-after" not in dict(problem(RouteNotFound("x"), b"i", dev=False)[0])


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_problem(kind: type[WasmindError]) -> None:
    document = json.loads(problem(kind("it happened", cause="a \x1b[31mred\n cause"), b"i", dev=True)[1])
    assert 400 <= document["status"] <= 599
    assert document["code"]
    assert document["title"]


def test_codes_name_one_error_each() -> None:
    codes = [kind.code for kind in every_error()]
    assert sorted(codes) == sorted(set(codes))
