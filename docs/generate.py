"""Write the reference pages that are read off the code: the command line and the errors.

`python docs/generate.py` writes them; a test fails when they differ from the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import typer

import wasmind
from wasmind.cli.main import app
from wasmind.errors import WasmindError
from wasmind.nn.wordings import FRAMEWORKS

REFERENCE = Path(__file__).parent / "reference"

ERRORS = """\
# Errors

Every failure has a stable code. A client gets it as `application/problem+json` (RFC 9457) with the title and
the status; the cause and the remedy go to the function's log, and to clients in dev mode. The wasi-nn code is
what a guest gets when the error meets a wasi-nn call, by its WIT name; [the core ABI's numbers](wasi-nn.md)
stand beside them there.

| code | status | wasi-nn | title | when |
| --- | --- | --- | --- | --- |
"""

CLI = """\
# Command line

Every command takes `--help`. `--json` prints one JSON document instead of tables. Exit codes: 0 done,
1 failed, 2 wrong arguments or configuration, 3 program refused, 4 model cannot be loaded, 130 interrupted,
134 guest trapped or went over a limit; `run` ends with its guest's own.
"""


def errors() -> str:
    """The page of all errors. Runtimes have none of their own, and set up a process to be theirs alone."""
    for module in walk_packages(wasmind.__path__, "wasmind."):
        if not module.name.endswith("__main__") and not module.name.startswith(_RUNTIMES):
            import_module(module.name)
    return ERRORS + "".join(f"| {' | '.join(_row(kind))} |\n" for kind in _tree(WasmindError))


_RUNTIMES = ("wasmind.worker.runtimes.", "wasmind.worker.conversions.")


FRAMEWORK_ERRORS = """\
# What frameworks say

A framework's own words always reach the function's log (and clients in dev mode). For those that people
meet most, the cause and the remedy stand beside them, as below; `…` is what the words say in that place.
"""


def framework_errors() -> str:
    """The page of all explained wordings."""
    parts = [FRAMEWORK_ERRORS]
    for name, rows in FRAMEWORKS.items():
        parts.append(f"\n## {name}\n\n| it means | what to do |\n| --- | --- |\n")
        parts += (f"| {_told(row.meaning)} | {_told(row.remedy)} |\n" for row in rows)
    return "".join(parts)


def _told(words: str) -> str:
    return re.sub(r"(\{\d(?:!r)?\})+", "…", words).replace("|", "\\|")


def _tree(kind: type[WasmindError]) -> Iterator[type[WasmindError]]:
    yield kind
    children = (child for child in kind.__subclasses__() if child.__module__.startswith("wasmind."))
    for child in sorted(children, key=lambda child: (child.__module__, inspect.getsourcelines(child)[1])):
        yield from _tree(child)


def _row(kind: type[WasmindError]) -> tuple[str, ...]:
    when = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    said = "Something that should not happen." if kind is WasmindError else when
    return f"`{kind.code}`", str(kind.status), kind.nn_code.value, kind.title, said


def cli() -> str:
    """The page of all commands."""
    return CLI + "".join(_command("wasmind", typer.main.get_command(app)))


def _command(name: str, command: Any) -> Iterator[str]:
    context = typer.Context(command, info_name=name)
    if hasattr(command, "list_commands"):
        for child in command.list_commands(context):
            yield from _command(f"{name} {child}", command.get_command(context, child))
        return
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    words = [_word(one) for one in arguments]
    yield f"\n## `{' '.join((name, *words))}`\n\n{inspect.cleandoc(command.help or '')}\n"
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    if options:
        yield "\n| option | meaning |\n| --- | --- |\n"
    for one in options:
        spelled = ", ".join((*one.opts, *one.secondary_opts)) + (
            "" if one.is_flag else f" {one.metavar or 'VALUE'}"
        )
        yield f"| `{spelled}` | {' '.join((one.help or '').split())} |\n"


def _word(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()).strip("[]{}. ")
    return name if argument.required else f"[{name}]"


PAGES = {"errors.md": errors, "framework-errors.md": framework_errors, "cli.md": cli}

if __name__ == "__main__":
    for _name, _page in PAGES.items():
        (REFERENCE / _name).write_text(_page())
