"""Host interfaces in WIT's terms: what components may import, declared with component types.

    streams = WitInterface("wasi:io/streams@0.2.12")
    INPUT_STREAM = streams.resource("input-stream")

    @streams.method(INPUT_STREAM, "read", {"len": U64}, Result(List(U8), STREAM_ERROR))
    def read(guest: Guest[Host], stream: InputStream, length: int) -> bytes | Err[StreamError]: ...

A function gets the guest and its arguments as the Python values of `component.abi.values`; a resource is
whatever Python object was returned as one. A function declared with `suspends`, or by `async def`, may answer
an awaitable of its result; then the guest is suspended until it is there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from wasmind.component.types import Borrow, Field, FunctionType, Own, ResourceType, ValueType

F = TypeVar("F", bound=Callable[..., Any])

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(-.*)?(?:\+.*)?\Z", re.ASCII)


class HostResource(ResourceType, frozen=True, array_like=True):
    """A resource type that a host interface declares, known by its full name."""

    name: str


@dataclass(frozen=True, slots=True)
class WitFunction:
    """A function of a host interface."""

    type: FunctionType
    function: Callable[..., Any]
    suspends: bool


class WitInterface:
    """An interface that components may import, under its name and version such as `wasi:io/poll@0.2.12`.

    With `refuses`, an error code, functions that are not declared exist too and answer that error, and so do
    their resources, of which there is never one: for interfaces that a platform must have but does not grant.
    """

    def __init__(self, name: str, *, refuses: str | None = None) -> None:
        self.name, _, self.version = name.partition("@")
        self.refuses = refuses
        self.functions: dict[str, WitFunction] = {}
        self.resources: dict[str, Callable[[Any, Any], None] | None] = {}

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name

    def resource(self, name: str, drop: Callable[[Any, Any], None] | None = None) -> HostResource:
        """Declare a resource type; `drop(guest, object)` is called when its handle is dropped."""
        self.resources[name] = drop
        return HostResource(-1, f"{self.name}/{name}")

    def function(
        self,
        name: str,
        params: Mapping[str, ValueType] = {},
        result: ValueType | None = None,
        *,
        suspends: bool = False,
    ) -> Callable[[F], F]:
        """Declare a function by its parameters' names and types. Raises ValueError if the name is taken."""

        def declare(function: F) -> F:
            if name in self.functions:
                raise ValueError(f"{self}.{name} is declared already")
            fields = tuple(Field(each, kind) for each, kind in params.items())
            waits = suspends or inspect.iscoroutinefunction(function)
            self.functions[name] = WitFunction(FunctionType(fields, result), function, waits)
            return function

        return declare

    def method(
        self,
        resource: HostResource,
        name: str,
        params: Mapping[str, ValueType] = {},
        result: ValueType | None = None,
        *,
        suspends: bool = False,
    ) -> Callable[[F], F]:
        """Declare a method; its function gets the resource's object after the guest."""
        mangled = f"[method]{_base(resource)}.{name}"
        return self.function(mangled, {"self": Borrow(resource), **params}, result, suspends=suspends)

    def static(
        self,
        resource: HostResource,
        name: str,
        params: Mapping[str, ValueType] = {},
        result: ValueType | None = None,
        *,
        suspends: bool = False,
    ) -> Callable[[F], F]:
        """Declare a static function of a resource type."""
        return self.function(f"[static]{_base(resource)}.{name}", params, result, suspends=suspends)

    def constructor(
        self,
        resource: HostResource,
        params: Mapping[str, ValueType] = {},
    ) -> Callable[[F], F]:
        """Declare a resource type's constructor; its function returns the object."""
        return self.function(f"[constructor]{_base(resource)}", params, Own(resource))


def compatible(wanted: str, offered: str) -> bool:
    """Whether an import of one name and version is served by another: the same up to semver compatibility.

    A version 0.2.x is served by every other 0.2.x, 1.x by 1.x; pre-releases only by themselves.
    """
    if wanted == offered:
        return True
    (name, _, version), (other_name, _, other) = wanted.partition("@"), offered.partition("@")
    track = _track(version)
    return name == other_name and track is not None and track == _track(other)


def _track(version: str) -> tuple[str, ...] | None:
    """The part of a version that must be equal; None if nothing else is compatible."""
    found = _VERSION.match(version)
    if not found or found[4]:
        return None
    major, minor, patch = found.group(1, 2, 3)
    return (major,) if major != "0" else (major, minor) if minor != "0" else (major, minor, patch)


def _base(resource: HostResource) -> str:
    return resource.name.rpartition("/")[2]
