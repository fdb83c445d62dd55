"""`wasmind dev`: a node in dev mode that builds functions again and reloads when files change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wasmind.cli.options import DEFAULT, ConfigFile, read

if TYPE_CHECKING:
    from wasmind.config import Config


def dev(
    config: ConfigFile = DEFAULT,
    port: Annotated[int | None, typer.Option(help="Port of the functions; 0: a free one.")] = None,
    api_port: Annotated[int | None, typer.Option(help="Port of the API; 0: a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Edge workers.")] = 1,
) -> None:
    """Serve in dev mode; build functions with a `source` again, and reload, when files of the project change.

    What does not build or load is told, and what was served before goes on being served.
    """
    import asyncio

    from wasmind.cli.serve import changed
    from wasmind.cli.watching import Project, serve
    from wasmind.node.state import StateDir
    from wasmind.telemetry import logs

    def settings() -> Config:
        return changed(read(config), dev=True, port=port, api_port=api_port, workers=workers, json=False)

    node = settings().node
    logger = logs.configure(node.log, node.log_level, process="node")
    project = Project(settings, config.resolve(), logger)
    state = StateDir.take(node.state)
    try:
        asyncio.run(serve(project, state, logger))
    finally:
        state.release()
