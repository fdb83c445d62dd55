"""The grammar, uniqueness and versions of names (Explainer.md, "Import and Export Definitions")."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = r"(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)(?:-(?:[0-9a-z]+|[0-9A-Z]+))*"
_WORDS = r"[a-z][0-9a-z]*(?:-[0-9a-z]+)*"
_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE}(?:\.{_PRE})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_CANONICAL = r"(?:[1-9][0-9]*|0\.[1-9][0-9]*|0\.0\.[1-9][0-9]*)"

LABEL = re.compile(rf"{_LABEL}\Z", re.ASCII)
"""What fields, cases, parameters and plain names are called: kebab-case words."""
_PLAIN = re.compile(
    rf"(?:(?P<label>{_LABEL})"
    rf"|\[constructor\](?P<constructor>{_LABEL})"
    rf"|\[(?P<member>method|static)\](?P<resource>{_LABEL})\.(?P<name>{_LABEL}))\Z",
    re.ASCII,
)
_INTERFACE = re.compile(
    rf"(?P<package>{_WORDS}:{_WORDS})/(?P<interface>{_LABEL})(?:@(?P<version>{_SEMVER}|{_CANONICAL}))?\Z",
    re.ASCII,
)
_RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:\+.*)?\Z", re.ASCII)
_ANNOTATED = re.compile(r"\[(?:method|static)\](.*)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Member:
    """A plain name that says it belongs to a resource: `[constructor]r`, `[method]r.m` or `[static]r.m`."""

    kind: str
    resource: str
    name: str = ""


def member(name: str) -> Member | None:
    """What a plain name says about a resource, if anything."""
    found = _PLAIN.match(name)
    if found is None or found["label"] is not None:
        return None
    if found["constructor"] is not None:
        return Member("constructor", found["constructor"])
    return Member(found["member"], found["resource"], found["name"])


def is_plain(name: str) -> bool:
    """Whether this is a plain name."""
    return _PLAIN.match(name) is not None


def is_interface(name: str) -> bool:
    """Whether this is the name of an interface, such as `wasi:io/streams@0.2.12`."""
    return _INTERFACE.match(name) is not None


def is_valid(name: str) -> bool:
    """Whether an import or export may have this name."""
    return is_plain(name) or is_interface(name)


def unique_key(name: str) -> str:
    """Two names of one scope must differ in this (Explainer.md, "Name Uniqueness")."""
    name = name.lower()
    annotated = _ANNOTATED.match(name)
    if annotated is None:
        return name
    resource, _, rest = annotated[1].partition(".")
    return resource if rest == resource else annotated[1]


def track(interface: str) -> str:
    """The name without what compatible versions differ in: `wasi:io/streams@0.2.12` → `wasi:io/streams@0.2`.

    Versions are compatible when their first number that is not 0 is the same; a pre-release only with itself.
    """
    name, at, version = interface.partition("@")
    found = _RELEASE.match(version)
    if not at or found is None:
        return interface
    major, minor, patch = found.groups()
    if major != "0":
        return f"{name}@{major}"
    return f"{name}@0.{minor}" if minor != "0" else f"{name}@0.0.{patch}"
