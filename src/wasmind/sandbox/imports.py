"""Whether a program's imports are what the interfaces provide; if not, which would be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from wasmind.errors import UnknownImport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmind.sandbox.binary import Import, Outline
    from wasmind.sandbox.interface import HostFunction, Interface

_MOST_NAMED = 20


def provided(interfaces: Iterable[Interface]) -> dict[tuple[str, str], HostFunction]:
    """All functions by module and name. Raises ValueError when two interfaces provide the same one."""
    functions: dict[tuple[str, str], HostFunction] = {}
    for interface in interfaces:
        for function in interface:
            key = (function.module, function.name)
            if functions.setdefault(key, function) is not function:
                raise ValueError(f"two interfaces provide {function}")
    return functions


def check_imports(outline: Outline, interfaces: Iterable[Interface]) -> None:
    """Raise UnknownImport, which names every import that cannot be satisfied, and the nearest that can."""
    functions = provided(interfaces)
    problems = [problem for item in outline.imports if (problem := _problem(item, functions))]
    if problems:
        shown = problems[:_MOST_NAMED]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        count = "an import" if len(problems) == 1 else f"{len(problems)} imports"
        raise UnknownImport(
            f"the program has {count} that nothing provides",
            cause="; ".join(shown),
            remedy="build it against the interfaces that are offered: "
            + (", ".join(sorted({module for module, _ in functions})) or "none"),
        )


def _problem(item: Import, functions: dict[tuple[str, str], HostFunction]) -> str | None:
    if item.kind != "function":
        return f"{_name(item)} is a {item.kind}, and hosts provide functions only"
    found = functions.get((item.module, item.name))
    if found is None:
        near = _nearest(item, functions)
        return f"{_name(item)} does not exist" + (f" (did you mean {near}?)" if near else "")
    if found.signature != item.signature:
        wanted = item.signature or "a function of references or vectors"
        return f"{_name(item)} is {found.signature}, but it is imported as {wanted}"
    return None


def _nearest(item: Import, functions: dict[tuple[str, str], HostFunction]) -> str | None:
    same_name = [module for module, name in functions if name == item.name]
    if same_name:
        module = get_close_matches(item.module, same_name, 1, 0.0)[0]
        return f"{module}.{item.name}"
    names = {f"{module}.{name}": None for module, name in functions}
    near = get_close_matches(str(item), names, 1, 0.75)
    return near[0] if near else None


def _name(item: Import) -> str:
    from wasmind.sandbox.trap import printable

    return printable(str(item))
