"""What evaluating makes: nothing when a component is only checked, an assembly when it is planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wasmind.component.assembly import FromHost, Source, SourceOptions
from wasmind.component.core.module import Span
from wasmind.component.core.types import CoreFunction
from wasmind.component.evaluate.items import FuncItem
from wasmind.component.types import ResourceType


class World(Protocol):
    """What evaluation makes as it goes."""

    concrete: bool
    """Whether everything is really made, so that nothing has to be checked again."""

    def resource(
        self, interface: str, name: str, owner: int | None, destructor: Source | None
    ) -> ResourceType:
        """A new resource type: the host's, or implemented by the component instance `owner`."""

    def name_resource(self, resource: ResourceType, interface: str, name: str) -> None:
        """A resource type is exported under a name."""

    def component_instance(self, parent: int) -> int:
        """A new component instance, made by another."""

    def core_instance(self, module: Span | None, imports: Sequence[Source]) -> int:
        """A new core instance."""

    def lower(self, callee: FuncItem, type_: CoreFunction, options: SourceOptions) -> Source:
        """A core function that calls a component function."""

    def builtin(self, does: str, resource: ResourceType, instance: int, type_: CoreFunction) -> Source:
        """A core function that creates, drops or looks into handles."""


class Checking:
    """Makes nothing; every resource type is a new one."""

    concrete = False

    def __init__(self) -> None:
        self._resources = 0

    def resource(
        self, interface: str, name: str, owner: int | None, destructor: Source | None
    ) -> ResourceType:
        """A new resource type."""
        self._resources += 1
        return ResourceType(self._resources)

    def name_resource(self, resource: ResourceType, interface: str, name: str) -> None:
        """Names do not matter."""

    def component_instance(self, parent: int) -> int:
        """All are alike."""
        return 0

    def core_instance(self, module: Span | None, imports: Sequence[Source]) -> int:
        """All are alike."""
        return 0

    def lower(self, callee: FuncItem, type_: CoreFunction, options: SourceOptions) -> Source:
        """A function that nobody calls."""
        return FromHost(0)

    def builtin(self, does: str, resource: ResourceType, instance: int, type_: CoreFunction) -> Source:
        """A function that nobody calls."""
        return FromHost(0)
