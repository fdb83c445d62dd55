"""The control process: `python -m wasmind.control SETTINGS`, started by the supervisor."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from wasmind.control.app import create_app
from wasmind.edge.server import HttpServer
from wasmind.node.words import ControlSettings
from wasmind.telemetry import logs

CONNECTIONS = 1024


async def serve(settings: ControlSettings) -> None:
    """Serve the API until SIGTERM, or until the supervisor is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    lifeline = socket.socket(fileno=settings.lifeline_fd)
    lifeline.setblocking(False)
    loop.add_reader(lifeline, stop.set)  # nothing is ever written to it: readable means closed
    app = create_app(Path(settings.state_dir), Path(settings.metrics_dir))
    listener = socket.socket(fileno=settings.listen_fd)
    server = HttpServer(app, listener, header_timeout_ms=settings.header_timeout_ms, connections=CONNECTIONS)
    server.start()
    await stop.wait()
    loop.remove_reader(lifeline)
    server.stop()
    try:
        await asyncio.wait_for(server.wait(), 5)
    except TimeoutError:
        return  # a client that keeps its connection does not keep the node


def main() -> None:
    """Run the control process."""
    settings = msgspec.json.decode(sys.argv[1], type=ControlSettings)
    logs.configure(settings.log, settings.log_level, process="control")
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
