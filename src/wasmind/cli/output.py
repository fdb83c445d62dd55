"""What a command prints: for people, or one JSON document. Results go to stdout, the rest to stderr."""

from __future__ import annotations

import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

WIDE = 240
"""Columns for a table that no terminal limits."""
P = ParamSpec("P")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from wasmind.errors import WasmindError


def say(text: str = "") -> None:
    """A line of a result."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A line that is no result."""
    sys.stderr.write(text + "\n")


def document(value: Any) -> None:
    """A result as one JSON document; sizes become numbers and paths text."""
    say(_encoded(value))


def _encoded(value: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode()


def _plain(value: object) -> object:
    return int(value) if isinstance(value, int) else str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A result as a table; `empty` is said when there is no row."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from wasmind.telemetry.escape import escape

    found = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        found.add_row(*(Text(escape(str(cell))) for cell in row))
    if found.row_count:
        Console(width=None if sys.stdout.isatty() else WIDE).print(found)
    else:
        say(empty)


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors are printed: what happened, why, what to do; it ends with the error's exit code.

    With `--json` the error is a document, on stdout; for `run`, whose stdout is its guest's, on stderr.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from wasmind.errors import WasmindError

        try:
            command(*args, **kwargs)
        except WasmindError as error:
            if not kwargs.get("json"):
                explain(error)
            elif command.__name__ == "run":
                note(_encoded({"error": error.as_dict()}))
            else:
                document({"error": error.as_dict()})
            raise typer.Exit(error.exit_code) from error

    return run


def explain(error: WasmindError) -> None:
    """Tell an error to a person."""
    from wasmind.telemetry.escape import escape

    red, bold, reset = ("\x1b[31m", "\x1b[1m", "\x1b[0m") if sys.stderr.isatty() else ("", "", "")
    note(f"{red}{bold}error:{reset} {escape(error.message)}")
    if error.cause:
        note(f"  cause: {escape(error.cause)}")
    if error.remedy:
        note(f"  remedy: {escape(error.remedy)}")


def size(count: int | None) -> str:
    """A number of bytes for people."""
    if count is None:
        return "-"
    number = float(count)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def shorten(path: Path) -> str:
    """A path relative to the working directory where that is shorter."""
    from pathlib import Path as _Path

    try:
        return str(path.relative_to(_Path.cwd()))
    except ValueError:
        return str(path)
