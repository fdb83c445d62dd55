"""Whether what a component imports or exports speaks only of types that have a name outside.

Explainer.md, "External Visibility of Types": bindings could otherwise not be written.
"""

from __future__ import annotations

from wasmind.component.evaluate.items import (
    BodyItem,
    FuncItem,
    InstanceItem,
    Item,
    ResourceItem,
    TypeItem,
    ValueItem,
)


def exposed(item: Item, types: set[TypeItem]) -> bool:
    """Whether every type that `item` speaks of is in `types`, or exported by the item itself."""
    match item:
        case FuncItem():
            return all(_named(part, types, set()) for part in item.type.parts)
        case InstanceItem():
            inner = set(types)
            for export in item.exports.values():
                if not exposed(export, inner):
                    return False
                inner |= names(export)
            return True
        case ResourceItem() | BodyItem():
            return True
        case ValueItem():
            return all(_named(part, types, set()) for part in item.parts)
        case _:
            parts = getattr(item, "parts", ())
            return all(_named(part, types, set()) for part in parts)


def names(item: Item) -> set[TypeItem]:
    """The types that get a name when an item is imported or exported."""
    if isinstance(item, InstanceItem):
        return set().union(*(names(export) for export in item.exports.values()))
    return {item} if isinstance(item, ResourceItem | ValueItem) else set()


def _named(item: TypeItem, types: set[TypeItem], seen: set[TypeItem]) -> bool:
    if item in types or item in seen:
        return True
    seen.add(item)
    if isinstance(item, ResourceItem) or (isinstance(item, ValueItem) and item.named):
        return False
    return not isinstance(item, ValueItem) or all(_named(part, types, seen) for part in item.parts)
