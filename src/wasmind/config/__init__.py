"""`wasmind.toml` as typed settings.

One file describes a whole node: functions, models, limits, routes. Reading it checks types, names and
references, and an error says where in the file it is and what would be right. Relative paths are relative to
the file.
"""

from __future__ import annotations

from wasmind.config.beside import example_beside
from wasmind.config.card import Card, Example
from wasmind.config.checks import BACKEND, MODEL_NAME, NAME
from wasmind.config.convert import Converted, Step
from wasmind.config.device import NO_DEVICES, Device, Devices
from wasmind.config.file import Config, load, parse
from wasmind.config.function import Function, Limits
from wasmind.config.model import (
    Batch,
    Encoding,
    Generation,
    KServe,
    Model,
    Prefer,
    Runtime,
    StandIn,
    Target,
    Version,
)
from wasmind.config.node import Node, Ports
from wasmind.config.preload import preloaded
from wasmind.config.section import Section, Size
from wasmind.config.signature import DeclaredSignature, DeclaredTensor
from wasmind.config.storage import OBJECT_SCHEMES, Storage
from wasmind.config.tenant import Inference, Tenant

__all__ = [
    "BACKEND",
    "MODEL_NAME",
    "NAME",
    "NO_DEVICES",
    "OBJECT_SCHEMES",
    "Batch",
    "Card",
    "Config",
    "Converted",
    "DeclaredSignature",
    "DeclaredTensor",
    "Device",
    "Devices",
    "Encoding",
    "Example",
    "Function",
    "Generation",
    "Inference",
    "KServe",
    "Limits",
    "Model",
    "Node",
    "Ports",
    "Prefer",
    "Runtime",
    "Section",
    "Size",
    "StandIn",
    "Step",
    "Storage",
    "Target",
    "Tenant",
    "Version",
    "example_beside",
    "load",
    "parse",
    "preloaded",
]
