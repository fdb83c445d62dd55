"""`wasmind.toml` as typed settings.

One file describes a whole node: functions, models, limits, routes. Reading it checks types, names and
references, and an error says where in the file it is and what would be right. Relative paths are relative to
the file.
"""

from __future__ import annotations

from wasmind.config.checks import BACKEND, MODEL_NAME, NAME
from wasmind.config.file import Config, load, parse
from wasmind.config.function import Function, Limits
from wasmind.config.model import Batch, Encoding, KServe, Model, Runtime, Target
from wasmind.config.node import Node, Ports
from wasmind.config.preload import preloaded
from wasmind.config.section import Section, Size

__all__ = [
    "BACKEND",
    "MODEL_NAME",
    "NAME",
    "Batch",
    "Config",
    "Encoding",
    "Function",
    "KServe",
    "Limits",
    "Model",
    "Node",
    "Ports",
    "Runtime",
    "Section",
    "Size",
    "Target",
    "load",
    "parse",
    "preloaded",
]
