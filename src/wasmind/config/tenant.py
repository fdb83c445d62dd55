"""`[tenants.NAME]` and `[inference]`: who may ask for inferences from outside, and how much."""

from __future__ import annotations

from pathlib import Path

from wasmind.config.section import Section, Size


class Tenant(Section, frozen=True):
    """A tenant whose programs call models by the Open Inference Protocol."""

    tokens_file: Path | None = None
    """SHA-256 of each bearer token in hexadecimal, one on a line, as `sha256sum` prints them."""
    models: list[str] | None = None
    """None: all that its functions could be granted."""
    manage: bool = False
    concurrency: int = 256


class Inference(Section, frozen=True):
    """What one request to the inference ports may take."""

    workers: int = 1
    request_body: Size = Size(64 << 20)
    body_stall_ms: float = 30_000.0
    concurrency: int = 1024
