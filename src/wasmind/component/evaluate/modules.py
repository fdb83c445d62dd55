"""The types of core modules: as the modules themselves say, and as components declare them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wasmind.component.binary import definitions as d
from wasmind.component.binary.definitions import Sort
from wasmind.component.core.module import CoreModule
from wasmind.component.core.types import CoreExtern, CoreFunction, CoreTag
from wasmind.component.evaluate.items import ModuleTypeItem
from wasmind.component.evaluate.scope import Scope
from wasmind.errors import InvalidProgram

Outer = Callable[[Scope, Sort, int, int], Any]


def module_type_of(module: CoreModule) -> ModuleTypeItem:
    """The type of a core module. Raises InvalidProgram if two of its imports have the same name."""
    imports: dict[tuple[str, str], CoreExtern] = {}
    for item in module.imports:
        _add(imports, item.module, item.name, item.type)
    return ModuleTypeItem(imports, module.export_types())


def module_type(scope: Scope, definition: d.ModuleTypeDef, outer: Outer) -> ModuleTypeItem:
    """The type of a core module as a component declares it. Raises InvalidProgram."""
    types: list[CoreFunction] = []
    imports: dict[tuple[str, str], CoreExtern] = {}
    exports: dict[str, CoreExtern] = {}
    for declaration in definition.body:
        match declaration:
            case CoreFunction():
                types.append(declaration)
            case d.AliasOuter():
                types.append(_aliased(scope, types, declaration, outer))
            case d.ModuleImport():
                _add(imports, declaration.module, declaration.name, _described(types, declaration.type))
            case d.ModuleExport():
                if declaration.name in exports:
                    raise InvalidProgram(f"the export {declaration.name!r} of a module type is there twice")
                exports[declaration.name] = _described(types, declaration.type)
    return ModuleTypeItem(imports, exports)


def _aliased(scope: Scope, types: list[CoreFunction], alias: d.AliasOuter, outer: Outer) -> CoreFunction:
    if alias.count == 0:
        return _type(types, alias.index)
    found = outer(scope, Sort.CORE_TYPE, alias.count - 1, alias.index)
    if not isinstance(found, CoreFunction):
        raise InvalidProgram("a module type aliases the type of a module")
    return found


def _add(imports: dict[tuple[str, str], CoreExtern], module: str, name: str, kind: CoreExtern) -> None:
    if (module, name) in imports:
        raise InvalidProgram(f"a core module imports {name!r} of {module!r} twice")
    imports[module, name] = kind


def _described(types: list[CoreFunction], desc: d.CoreDesc) -> CoreExtern:
    if not isinstance(desc, d.TypedBy):
        return desc
    found = _type(types, desc.index)
    return CoreTag(found) if desc.tag else found


def _type(types: list[CoreFunction], index: int) -> CoreFunction:
    if index >= len(types):
        raise InvalidProgram(f"a module type has no type {index}")
    return types[index]
