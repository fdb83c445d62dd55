"""A project that is served while it changes: its files are watched, its functions built again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.cli.build import print_output, shown
from wasmind.cli.output import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wasmind.config import Config
    from wasmind.node.state import StateDir
    from wasmind.node.supervisor import Supervisor
    from wasmind.projects.target import Target
    from wasmind.telemetry.logs import Logger

SETTLE_MS = 100
"""How long files must be quiet before a build begins: an editor writes several at once."""


class Project:
    """A project whose files are watched."""

    def __init__(self, settings: Callable[[], Config], config: Path, logger: Logger) -> None:
        self.settings = settings
        self.config = config
        self._logger = logger
        self._built_with: dict[str, bool] = {}
        """Functions, and whether they were built with wasi-nn."""

    def build_stale(self) -> bool:
        """Build what is older than its sources; False: one failed, and was told. Raises ConfigError."""
        from wasmind.projects.build import stale

        found = self._targets()
        self._built_with = {target.name: target.models for target in found}
        return self._build(target for target in found if stale(target))

    def take_up(self, files: Iterable[Path]) -> bool:
        """Build what depends on changed files; True: there is something to reload. Raises ConfigError."""
        from wasmind.projects.build import language_of

        files = set(files)
        suffixes = {file.suffix for file in files}
        found = [
            target
            for target in self._targets()
            if suffixes & set(language_of(target).watched)
            or target.models != self._built_with.get(target.name)  # it is new, or its grants are
        ]
        if not found:
            return self.config in files or bool(files & self._models())
        return self._build(found)

    def _targets(self) -> list[Target]:
        from wasmind.projects.target import targets

        return targets(self.settings(), self.config.parent)

    def _models(self) -> set[Path]:
        models = self.settings().models.values()
        return {
            path.resolve() for model in models for path in (model.path, model.weights, model.labels) if path
        }

    def _build(self, found: Iterable[Target]) -> bool:
        from wasmind.errors import BuildFailed

        for target in found:
            try:
                built = shown(target, quiet=True)
            except BuildFailed as error:
                print_output(error)
                explain(error)
                return False
            self._built_with[target.name] = target.models
            self._logger.info("built", function=built.function, seconds=round(built.seconds, 1))
        return True


async def serve(project: Project, state: StateDir, logger: Logger) -> None:
    """Serve once everything is built, until told to stop."""
    from wasmind.cli.progress import shown_progress
    from wasmind.node.supervisor import Supervisor

    changes = Changes(project.config.parent)
    async with changes:
        while not await asyncio.to_thread(project.build_stale):
            logger.warning("not served: waiting for a change")
            await changes.next()
        with shown_progress(logger) as progress:
            supervisor = Supervisor(project.settings, str(project.config), state, logger, progress)
            watching = asyncio.create_task(_follow(project, changes, supervisor, logger))
            try:
                await supervisor.run()
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching


async def _follow(project: Project, changes: Changes, supervisor: Supervisor, logger: Logger) -> None:
    """Take up each change in turn."""
    from wasmind.errors import WasmindError

    while True:
        files = await changes.next()
        logger.info("changed", files=" ".join(sorted(file.name for file in files)))
        try:
            if await asyncio.to_thread(project.take_up, files):
                await supervisor.reload()
        except WasmindError as error:
            if supervisor.status().reload_failure is None:  # else it was told when it failed
                explain(error)


class Changes:
    """Files of a directory that were written, in batches. What builds and nodes write does not count."""

    def __init__(self, directory: Path) -> None:
        from watchfiles import awatch

        def counts(_change: object, path: str) -> bool:
            return _counts(Path(path).relative_to(directory))

        self._stop = asyncio.Event()
        self._batches = awatch(
            directory, watch_filter=counts, debounce=SETTLE_MS * 10, step=SETTLE_MS, stop_event=self._stop
        )

    async def __aenter__(self) -> Changes:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._batches.aclose()

    async def next(self) -> set[Path]:
        """The next files that changed."""
        return {Path(path).resolve() for _, path in await anext(self._batches)}


def _counts(path: Path) -> bool:
    """Whether a change of this file, relative to the project, is somebody's work."""
    from wasmind.projects.build import skipped

    return not any(skipped(part) for part in path.parts) and path.suffix != ".wasm"
