"""The rules of header fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.errors import LimitExceeded
from wasmind.guest_api.wasi_http.fields import (
    DENIED,
    FORBIDDEN,
    IMMUTABLE,
    INVALID,
    MAX_SIZE,
    Fields,
)


def fields(*entries: tuple[str, bytes]) -> Fields:
    made = Fields.from_list(entries)
    assert isinstance(made, Fields)
    return made


def test_names_keep_their_casing_and_are_found_without_it() -> None:
    made = fields(("Content-Type", b"text/plain"), ("X-A", b"1"), ("x-a", b"2"))
    assert made.get("CONTENT-TYPE") == [b"text/plain"]
    assert made.get("x-A") == [b"1", b"2"]
    assert made.has("X-a")
    assert not made.has("x-b")
    assert made.get("x-b") == []
    assert made.entries() == [("Content-Type", b"text/plain"), ("X-A", b"1"), ("x-a", b"2")]


def test_changing() -> None:
    made = fields(("A", b"1"), ("B", b"2"), ("a", b"3"))
    assert made.set("a", [b"x", b"y"]) is None
    assert made.entries() == [("B", b"2"), ("a", b"x"), ("a", b"y")]
    assert made.append("B", b"") is None
    assert made.get("b") == [b"2", b""]
    assert made.delete("A") is None
    assert made.delete("not-there") is None
    assert made.set("b", []) is None
    assert made.entries() == []


@pytest.mark.parametrize("name", ["", "a b", "a:b", "naïve", "a\n", "a\0", '"', "(", "a\r\nb: c"])
def test_names_that_are_none(name: str) -> None:
    made = Fields()
    assert made.append(name, b"x") is INVALID
    assert made.set(name, [b"x"]) is INVALID
    assert made.delete(name) is INVALID
    assert Fields.from_list([(name, b"x")]) is INVALID
    assert made.get(name) == []
    assert not made.has(name)


@pytest.mark.parametrize("value", [b"a\nb", b"a\rb", b"\0", b"\x7f", b"a\r\nX-Evil: 1", b"\x01"])
def test_values_that_are_none(value: bytes) -> None:
    made = fields(("a", b"1"))
    assert made.append("a", value) is INVALID
    assert made.set("a", [b"fine", value]) is INVALID
    assert Fields.from_list([("a", value)]) is INVALID
    assert made.entries() == [("a", b"1")]


@pytest.mark.parametrize("value", [b"", b"a\tb", b" spaced ", b"\xe9\xff", b"~!"])
def test_values_that_are_fine(value: bytes) -> None:
    assert fields(("a", value)).get("a") == [value]


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_what_belongs_to_the_connection(name: str) -> None:
    made = Fields()
    for spelled in (name, name.upper(), name.title()):
        assert made.append(spelled, b"x") is DENIED
        assert made.set(spelled, [b"x"]) is DENIED
        assert made.delete(spelled) is DENIED
        assert Fields.from_list([("a", b"1"), (spelled, b"x")]) is DENIED


def test_what_cannot_be_changed() -> None:
    made = fields(("a", b"1")).frozen()
    assert made.append("a", b"x") is IMMUTABLE
    assert made.set("a", [b"x"]) is IMMUTABLE
    assert made.delete("a") is IMMUTABLE
    assert made.get("a") == [b"1"]
    copy = made.clone()
    assert copy.append("a", b"2") is None
    assert made.entries() == [("a", b"1")]
    assert copy.entries() == [("a", b"1"), ("a", b"2")]


def test_received_headers_are_without_the_connections_own() -> None:
    raw = [(b"host", b"x"), (b"accept", b"*/*"), (b"transfer-encoding", b"chunked"), (b"x-\xe9", b"\xff")]
    made = Fields.received(raw)
    assert made.entries() == [("accept", b"*/*"), ("x-é", b"\xff")]
    assert not made.mutable


def test_on_the_wire() -> None:
    assert fields(("X-A", b" padded\t"), ("b", b"")).wire() == [(b"x-a", b"padded"), (b"b", b"")]


def test_too_many() -> None:
    made = Fields()

    def fill() -> None:
        for _ in range(MAX_SIZE):
            made.append("a", b"x" * 100)

    with pytest.raises(LimitExceeded, match="header fields"):
        fill()
    with pytest.raises(LimitExceeded):
        made.clone().append("a", b"x" * MAX_SIZE)
    made.delete("a")
    assert made.append("a", b"x") is None


NAMES = st.sampled_from(["a", "A", "b", "host", "bad name"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "append", "delete"]), NAMES, st.binary(max_size=3)), max_size=20
)


@given(STEPS)
def test_as_a_plain_list_would(steps: list[tuple[str, str, bytes]]) -> None:
    made, model = Fields(), []
    for step, name, value in steps:
        good_value = not set(value) & ({*range(32), 127} - {9})
        wrong: Any = INVALID if " " in name else None
        if step != "delete" and not good_value:
            wrong = INVALID
        if wrong is None and name == "host":
            wrong = DENIED
        kept = [entry for entry in model if entry[0].lower() != name.lower()]
        if step == "append":
            found, after = made.append(name, value), [*model, (name, value)]
        elif step == "set":
            found, after = made.set(name, [value]), [*kept, (name, value)]
        else:
            found, after = made.delete(name), kept
        if name == "host" and not good_value and step != "delete":
            assert found in (INVALID, DENIED)
        else:
            assert found is wrong
        if found is None:
            model = after
        assert made.entries() == model
