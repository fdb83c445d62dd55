"""`[functions.NAME]`: a function, its routes and its limits."""

from __future__ import annotations

from pathlib import Path

from wasmind.config.section import Section, Size


class Limits(Section, frozen=True):
    """What one run of a function may use. The defaults are Fastly Compute's."""

    cpu_ms: float = 50.0
    wall_ms: float = 120_000.0
    memory: Size = Size(128 << 20)
    stack: Size = Size(1 << 20)
    package: Size = Size(100_000_000)
    table_elements: int = 100_000
    backend_requests: int = 32
    request_body: Size = Size(100 << 20)
    body_stall_ms: float = 30_000.0
    concurrency: int = 10_000
    nn_contexts: int = 64
    nn_memory: Size = Size(256 << 20)
    load_size: Size = Size(64 << 20)


class Function(Section, frozen=True):
    """A function: a program, where it is routed, and what it may use."""

    module: Path
    route: str | list[str]
    source: Path | None = None
    """What `wasmind build` makes the module of; its suffix tells the language."""
    host: str | None = None
    methods: list[str] | None = None
    models: list[str] = []
    env: dict[str, str] = {}
    args: list[str] = []
    limits: Limits = Limits()
    allow_load: bool = False
    cache: bool = False
    backends: list[str] = []
    """Whom it may send requests to: `api.example.com`, `api.example.com:8443`, `http://10.0.0.7:9000`."""
    tenant: str = "default"

    @property
    def routes(self) -> tuple[str, ...]:
        """The paths it serves; one that ends in `/*` serves everything below."""
        return (self.route,) if isinstance(self.route, str) else tuple(self.route)
