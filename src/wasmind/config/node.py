"""`[node]`: the node itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from wasmind.config.section import Section, Size


class Ports(Section, frozen=True):
    """Where the node listens."""

    functions: int = 8080
    oip_rest: int = 8081
    oip_grpc: int = 8082
    api: int = 8090


class Node(Section, frozen=True):
    """The node itself."""

    workers: int | None = None
    host: str = "127.0.0.1"
    ports: Ports = Ports()
    dev: bool = False
    state: Path = Path(".wasmind")
    model_memory: Size | None = None
    concurrency: int = 20_000
    drain_ms: float = 30_000.0
    header_timeout_ms: float = 30_000.0
    tick_ms: float = 1.0
    log: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
