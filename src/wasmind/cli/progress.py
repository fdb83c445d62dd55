"""A node coming up, as a person sees it: one bar on a terminal, plain records otherwise."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wasmind.catalog.storage.fetch import Silent
from wasmind.node.progress import LoggedProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from wasmind.catalog.storage.fetch import Transfer
    from wasmind.guest_api.program import Compiled
    from wasmind.node.models import ServedModel
    from wasmind.node.progress import Progress
    from wasmind.node.status import NodeStatus
    from wasmind.telemetry.logs import Logger


class TransferBars:
    """A bar for each model that is fetched, which goes away when it is here."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._bars: Bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def fetching(self, uri: str, size: int) -> None:
        """Show its bar, or set it back."""
        if uri in self._tasks:
            self._bars.reset(self._tasks[uri], total=size)
        else:
            self._tasks[uri] = self._bars.add_task(uri, total=size)
            self._bars.start()

    def arrived(self, uri: str, size: int) -> None:
        """So many bytes on."""
        self._bars.advance(self._tasks[uri], size)

    def fetched(self, uri: str) -> None:
        """Take its bar away."""
        self._bars.remove_task(self._tasks.pop(uri))
        if not self._tasks:
            self._bars.stop()

    def close(self) -> None:
        """Take away what is left of transfers that failed."""
        self._bars.stop()


class BarProgress:
    """A bar over functions and models together, which goes away when all is there; records go on above it."""

    def __init__(self, logger: Logger) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        self._records = LoggedProgress(logger)
        self._transfers = TransferBars()
        self._bars: Bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bars.add_task("", visible=False)
        self._waiting: list[str] = []

    def begin(self, functions: Sequence[str], models: Sequence[str]) -> None:
        """Show the bar."""
        self._waiting = [*functions, *models]
        self._bars.reset(self._task, total=len(self._waiting), visible=True)
        self._describe()
        self._bars.start()

    def fetching(self, uri: str, size: int) -> None:
        """Show its bar, and say so."""
        self._records.fetching(uri, size)
        self._transfers.fetching(uri, size)

    def arrived(self, uri: str, size: int) -> None:
        """So many bytes on."""
        self._transfers.arrived(uri, size)

    def fetched(self, uri: str) -> None:
        """Take its bar away."""
        self._transfers.fetched(uri)
        self._records.fetched(uri)

    def function(self, name: str, compiled: Compiled) -> None:
        """One step on."""
        self._step(name)
        self._records.function(name, compiled)

    def model(self, model: ServedModel) -> None:
        """One step on."""
        self._step(model.plan.title)
        self._records.model(model)

    def end(self) -> None:
        """Take the bars away."""
        self._transfers.close()
        self._bars.stop()

    def ready(self, status: NodeStatus) -> None:
        """Say where what is served."""
        self._records.ready(status)

    def _step(self, name: str) -> None:
        if name in self._waiting:
            self._waiting.remove(name)
        self._bars.advance(self._task)
        self._describe()
        self._bars.refresh()

    def _describe(self) -> None:
        waiting = ", ".join(self._waiting[:3]) + (", …" if len(self._waiting) > 3 else "")
        self._bars.update(self._task, description=f"compiling and loading {waiting}")


@contextmanager
def shown_transfers() -> Iterator[Transfer]:
    """What shows transfers of a command: bars on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    bars = TransferBars()
    try:
        yield bars
    finally:
        bars.close()


@contextmanager
def shown_progress(logger: Logger) -> Iterator[Progress]:
    """What shows a node coming up here."""
    shown: Progress = BarProgress(logger) if sys.stderr.isatty() else LoggedProgress(logger)
    try:
        yield shown
    finally:
        shown.end()
