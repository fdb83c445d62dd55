"""The control process: `python -m wasmind.control SETTINGS`, started by the supervisor."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from wasmind.control.app import create_app
from wasmind.node.words import ControlSettings
from wasmind.telemetry import logs

CONNECTIONS = 1024
"""Requests at once; more are answered with 503."""
STOP_SECONDS = 3
"""How long a client may keep a connection open once the process is told to stop."""


async def serve(settings: ControlSettings) -> None:
    """Serve the API until SIGTERM, or until the supervisor is gone."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(Path(settings.state_dir), Path(settings.metrics_dir)),
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    with socket.socket(fileno=settings.lifeline_fd) as lifeline:
        loop.add_reader(lifeline, stop)  # nothing is ever written to it: readable means closed
        await server.serve([socket.socket(fileno=settings.listen_fd)])
        loop.remove_reader(lifeline)


def main() -> None:
    """Run the control process."""
    settings = msgspec.json.decode(sys.argv[1], type=ControlSettings)
    logs.configure(settings.log, settings.log_level, process="control")
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
