"""`wasmind serve`: a node, from its configuration file to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wasmind.cli.options import DEFAULT, ConfigFile, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.config import Config
    from wasmind.node.progress import Progress
    from wasmind.node.state import StateDir
    from wasmind.telemetry.logs import Logger


def serve(
    config: ConfigFile = DEFAULT,
    dev: Annotated[
        bool, typer.Option("--dev", help="Tell clients the causes of errors, and timings.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Port of the functions; 0: a free one.")] = None,
    api_port: Annotated[int | None, typer.Option(help="Port of the API; 0: a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Edge workers; default: as many as cores.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Write the log as JSON.")] = False,
) -> None:
    """Serve the functions and models of a configuration, until Ctrl-C or SIGTERM; SIGHUP reloads it."""
    import asyncio

    from wasmind.cli.progress import shown_progress
    from wasmind.node.state import StateDir
    from wasmind.telemetry import logs

    def settings() -> Config:
        return changed(read(config), dev=dev, port=port, api_port=api_port, workers=workers, json=json)

    node = settings().node
    logger = logs.configure(node.log, node.log_level, process="node")
    state = StateDir.take(node.state)
    try:
        with shown_progress(logger) as progress:
            asyncio.run(_serve(settings, config, state, logger, progress))
    finally:
        state.release()


async def _serve(
    settings: Callable[[], Config], source: Path, state: StateDir, logger: Logger, progress: Progress
) -> None:
    from wasmind.node.supervisor import Supervisor

    await Supervisor(settings, str(source), state, logger, progress).run()


def changed(
    config: Config, *, dev: bool, port: int | None, api_port: int | None, workers: int | None, json: bool
) -> Config:
    """The configuration with what the command line says instead."""
    from msgspec.structs import replace

    node = config.node
    ports = replace(
        node.ports,
        functions=node.ports.functions if port is None else port,
        api=node.ports.api if api_port is None else api_port,
    )
    node = replace(
        node,
        ports=ports,
        dev=dev or node.dev,
        workers=workers or node.workers,
        log="json" if json else node.log,
    )
    return replace(config, node=node)
