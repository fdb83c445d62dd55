"""`wasmind doctor`: what this machine offers a node, what is missing, and what that costs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, read_if_there
from wasmind.cli.output import document, say

if TYPE_CHECKING:
    from wasmind.cli.checks import Check

_MARKS = {
    "ok": ("\x1b[32m", "✓"),
    "info": ("\x1b[2m", "·"),
    "warning": ("\x1b[33m", "!"),
    "failure": ("\x1b[31m", "✗"),
}


def doctor(config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Check this machine: confinement, runtimes, ports, cores, limits. Exit code 1: a node cannot run."""
    from wasmind.cli.checks import examine

    checks = examine(read_if_there(config))
    if json:
        document(checks)
    else:
        for check in checks:
            _print(check)
    if any(check.verdict == "failure" for check in checks):
        raise typer.Exit(1)


def _print(check: Check) -> None:
    colour, mark = _MARKS[check.verdict]
    if sys.stdout.isatty():
        mark = f"{colour}{mark}\x1b[0m"
    say(f"{mark} {check.name:16} {check.found}")
    if check.cost:
        say(f"{'':19}costs: {check.cost}")
    if check.remedy:
        say(f"{'':19}remedy: {check.remedy}")
