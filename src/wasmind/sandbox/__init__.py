"""The sandbox: programs compiled under limits, and guests that run them on fibers.

The only room that knows Wasmtime. Names are imported when they are first used, so that the process that
compiles, which needs two modules of the room, starts in a third of the time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasmind.sandbox.artifact import Artifact
    from wasmind.sandbox.binary import Export, Import, Outline, outline
    from wasmind.sandbox.compile import CompileLimits, compile_program, compile_program_now
    from wasmind.sandbox.engine import Engine
    from wasmind.sandbox.figures import Figures
    from wasmind.sandbox.guest import Guest
    from wasmind.sandbox.interface import HostFunction, Interface
    from wasmind.sandbox.linked import LinkedGuest, LinkedProgram
    from wasmind.sandbox.memory import Memory
    from wasmind.sandbox.program import Program
    from wasmind.sandbox.spare import Spare
    from wasmind.sandbox.text import from_text
    from wasmind.sandbox.values import F32, F64, S32, S64, U32, U64, Kind, Scalar, Signature

_HOMES = {
    "artifact": ("Artifact",),
    "binary": ("Export", "Import", "Outline", "outline"),
    "compile": ("CompileLimits", "compile_program", "compile_program_now"),
    "engine": ("Engine",),
    "figures": ("Figures",),
    "guest": ("Guest",),
    "interface": ("HostFunction", "Interface"),
    "linked": ("LinkedGuest", "LinkedProgram"),
    "memory": ("Memory",),
    "program": ("Program",),
    "spare": ("Spare",),
    "text": ("from_text",),
    "values": ("F32", "F64", "S32", "S64", "U32", "U64", "Kind", "Scalar", "Signature"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "F32",
    "F64",
    "S32",
    "S64",
    "U32",
    "U64",
    "Artifact",
    "CompileLimits",
    "Engine",
    "Export",
    "Figures",
    "Guest",
    "HostFunction",
    "Import",
    "Interface",
    "Kind",
    "LinkedGuest",
    "LinkedProgram",
    "Memory",
    "Outline",
    "Program",
    "Scalar",
    "Signature",
    "Spare",
    "compile_program",
    "compile_program_now",
    "from_text",
    "outline",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the module where it lives."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
