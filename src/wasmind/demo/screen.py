"""What a person sees of the demo: steps as they are done, answers as bars."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.bar import Bar
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.status import Status

    from wasmind.demo.client import Answer, Sustained
    from wasmind.errors import WasmindError

PARTS = ("sandbox", "queue", "inference")
"""The parts of a request's time that the node tells."""


class Steps:
    """Shows each step while it is done, with its time once it is."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status = self._console.status("")
        self._current: tuple[str, float] | None = None

    @contextmanager
    def shown(self) -> Iterator[Steps]:
        """Show steps in this block; one that an error ends is not called done."""
        try:
            yield self
        finally:
            self._current = None
            self._status.stop()

    def step(self, text: str) -> None:
        """The step before is done, this one begins."""
        self.done()
        self._current = text, perf_counter()
        self._status.update(f"{text} …")
        self._status.start()

    def done(self) -> None:
        """The current step is done."""
        self._status.stop()
        if self._current:
            text, began = self._current
            self._console.print(f"[green]✓[/] {text} [dim]{perf_counter() - began:.2f} s[/]")
            self._current = None

    def leave_out(self, name: str, error: WasmindError) -> None:
        """A part of the demo that cannot be had here, and why."""
        self._status.stop()
        self._current = None
        self._console.print(f"[yellow]![/] {name} is left out: {escape(error.explain())}")

    def say(self, text: str) -> None:
        """A line that is no step."""
        self._console.print(f"[yellow]![/] {text}")


class Screen:
    """Prints results."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)

    def answer(self, name: str, classes: Sequence[dict[str, Any]], answer: Answer) -> None:
        """The classes of one photo, and where the time went."""
        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=24)
        table.add_column(justify="right")
        table.add_column(width=30)
        for found in classes:
            chance = float(found["probability"])
            table.add_row(f"  {found['label']}", f"{chance:.1%}", Bar(1, 0, chance, color="cyan"))
        known = {part: answer.timing[part] for part in PARTS if part in answer.timing}
        split = [f"{part} {ms:.1f}" for part, ms in known.items()]
        split.append(f"HTTP {max(0.0, answer.took_ms - sum(known.values())):.1f}")
        self._console.print(f"\n[bold]{name}[/]  [dim]{answer.took_ms:.1f} ms: {', '.join(split)}[/]")
        self._console.print(table)

    def languages(self, photo: str, rows: Sequence[tuple[str, int, Answer, str]]) -> None:
        """One photo by one model, called from several languages: name, module's size, answer, best class."""
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "left", "right", "right", "right"):
            table.add_column(justify=justify)
        for name, size, answer, best in rows:
            sandbox = f"sandbox {answer.timing.get('sandbox', 0):.1f}"
            module = f"{size / 2**20:.1f} MB" if size > 2**20 else f"{size / 1024:.0f} KB"
            table.add_row(f"  {name}", best, f"{answer.took_ms:.1f} ms", sandbox, f"[dim]{module}[/]")
        self._console.print(f"\n[bold]{photo}[/]  [dim]the same model, called from[/]")
        self._console.print(table)

    def sustained(self, found: Sustained) -> None:
        """What the node did under load."""
        failed = f", [red]{found.failed} failed[/]" if found.failed else ""
        self._console.print(
            f"\nThis node sustains [bold]{found.per_second:.0f} requests per second[/] of this function "
            f"[dim]({found.requests} in {found.seconds:.1f} s on {found.connections} connections, "
            f"half of them within {found.median_ms:.0f} ms{failed})[/]"
        )

    def invitation(self, curl: str, convert: str, api: str) -> None:
        """How to try it oneself."""
        self._console.print(f"\nTry it:\n  {curl}\nWith a photo of yours:\n  {convert}", markup=False)
        self._console.print(f"The node's state: {api}\n\nCtrl-C ends it.", markup=False)
