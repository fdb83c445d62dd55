"""The unfused form of a planned component: its core modules one by one, and how each is linked.

It is what runs when fusing would not be sound or not wise, and what fused components are compared with.
"""

from __future__ import annotations

import msgspec

from wasmind.component.assembly import FromHost, FromInstance, Source
from wasmind.component.core.module import CoreModule, Span, read_module
from wasmind.component.planner import Planned


class Link(msgspec.Struct, frozen=True, array_like=True):
    """An import of a module, and what it is given."""

    module: str
    name: str
    stage: int | None
    """The stage whose export `export` it is; None for the host's function `export` of `interface`."""
    export: str
    interface: str = ""


class Stage(msgspec.Struct, frozen=True, array_like=True):
    """A core instance: which module it is of, and what it is given for each import, in order."""

    module: int
    links: tuple[Link, ...]


class Linking(msgspec.Struct, frozen=True):
    """Instances in order, and where the exports are that the plan names: stage and export."""

    stages: tuple[Stage, ...]
    exports: dict[str, tuple[int, str]]


def link(planned: Planned) -> tuple[tuple[bytes, ...], Linking]:
    """The core modules of a component, and how they are linked."""
    numbers: dict[Span | bytes, int] = {}
    modules: list[bytes] = []
    stages = []
    for each in planned.assembly.instances:
        if each.module not in numbers:
            numbers[each.module] = len(modules)
            modules.append(_bytes(planned, each.module))
        imports = _module(planned, each.module).imports
        links = tuple(
            _link(planned, item.module, item.name, source)
            for item, source in zip(imports, each.imports, strict=True)
        )
        stages.append(Stage(numbers[each.module], links))
    exports = {name: (source.instance, source.name) for name, source in planned.references.items()}
    return tuple(modules), Linking(tuple(stages), exports)


def _bytes(planned: Planned, module: Span | bytes) -> bytes:
    return module if isinstance(module, bytes) else planned.assembly.data[module.at : module.end]


def _module(planned: Planned, module: Span | bytes) -> CoreModule:
    return read_module(module) if isinstance(module, bytes) else planned.modules[module.at]


def _link(planned: Planned, module: str, name: str, source: Source) -> Link:
    match source:
        case FromInstance(instance, export):
            return Link(module, name, instance, export)
        case FromHost(function):
            item = planned.plan.imports[function]
            return Link(module, name, None, item.name, item.module)
