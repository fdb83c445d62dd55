"""Fusing: the core instances of a component become one core module that imports only host functions."""

from __future__ import annotations

from wasmind.errors import UnsupportedFeature


class Unfusable(UnsupportedFeature):
    """The core instances cannot become one module; they can still be linked one by one."""

    code, title = "program-unfusable", "Not fusable into one module"
