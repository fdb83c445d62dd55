"""The grammar of names, what makes two of them clash, and which versions are compatible."""

from __future__ import annotations

import pytest

from wasmind.component.binary.names import LABEL, is_interface, is_plain, is_valid, member, track, unique_key


@pytest.mark.parametrize(
    "name", ["a", "a-b-c", "a1-2-3", "A", "A-B-C", "A1-2-3", "a11-w0rds", "is-XML", "m1x3d-4CR0NYMS"]
)
def test_labels(name: str) -> None:
    assert LABEL.match(name)
    assert is_plain(name)


@pytest.mark.parametrize("name", ["", "1-2-3", "a_b", "aB", "a--b", "-a", "a-", "a b", "é", "a\n", "Ab"])
def test_what_is_no_label(name: str) -> None:
    assert not LABEL.match(name)
    assert not is_valid(name)


@pytest.mark.parametrize(
    "name",
    [
        "wasi:http/types",
        "wasi:http/types@1.0.0",
        "a-b:c-d/e-f@123456.7890.488",
        "a:b/c@0.0.0+abcd",
        "a:b/c@0.0.0-abcd.1.2+efg.4.ee.5",
        "wasi:nn/tensor@0.2.0-rc-2024-10-28",
        "a:b/is-XML",
    ],
)
def test_interfaces(name: str) -> None:
    assert is_interface(name)
    assert is_valid(name)
    assert not is_plain(name)


@pytest.mark.parametrize(
    "name",
    [
        "a:b/c@",
        "a:b/c@.",
        "a:b/c@a.2",
        "a:b/c@2.0x0",
        "a:b/c@2.0.0+",
        "a:b/c@2.0.0-",
        "a:b/c@01.0.0",
        "foo:bar:baz/qux",
        "foo:bar/baz/qux",
        "A:b/c",
        "a:b",
        "a:b/c\n",
        "url=<https://example.org>",
    ],
)
def test_what_is_no_interface(name: str) -> None:
    assert not is_valid(name)


def test_members() -> None:
    assert member("plain") is None
    found = member("[method]output-stream.write")
    assert found is not None
    assert (found.kind, found.resource, found.name) == ("method", "output-stream", "write")
    made = member("[constructor]fields")
    assert made is not None
    assert (made.kind, made.resource) == ("constructor", "fields")
    static = member("[static]fields.from-list")
    assert static is not None
    assert static.kind == "static"
    assert not is_plain("[method]a")
    assert not is_plain("[getter]a.b")


def test_names_that_may_stand_together() -> None:
    names = ["foo", "foo-bar", "[constructor]foo", "[method]foo.bar", "[static]foo.baz", "foo:bar/baz"]
    assert len({unique_key(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("foo", "FOO"),
        ("foo-bar", "foo-BAR"),
        ("[constructor]foo", "[constructor]FOO"),
        ("[method]foo.bar", "[method]foo.BAR"),
        ("[method]foo.bar", "[static]foo.bar"),
        ("foo", "[method]foo.foo"),
        ("foo-bar", "[static]foo-BAR.FOO-bar"),
        ("foo:bar/baz", "foo:bar/BAZ"),
    ],
)
def test_names_that_clash(one: str, other: str) -> None:
    assert unique_key(one) == unique_key(other)


@pytest.mark.parametrize(
    ("name", "tracked"),
    [
        ("wasi:io/poll@0.2.12", "wasi:io/poll@0.2"),
        ("wasi:io/poll@0.2.0", "wasi:io/poll@0.2"),
        ("wasi:io/poll@1.4.2", "wasi:io/poll@1"),
        ("a:b/c@0.0.7", "a:b/c@0.0.7"),
        ("a:b/c@0.2.0+build", "a:b/c@0.2"),
        ("wasi:nn/tensor@0.2.0-rc-2024-10-28", "wasi:nn/tensor@0.2.0-rc-2024-10-28"),
        ("wasi:io/poll", "wasi:io/poll"),
    ],
)
def test_versions_that_are_compatible_have_one_track(name: str, tracked: str) -> None:
    assert track(name) == tracked
