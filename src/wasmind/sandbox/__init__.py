"""The sandbox: programs compiled under limits, and guests that run them on fibers. The only room that knows
Wasmtime."""

from wasmind.sandbox.artifact import Artifact
from wasmind.sandbox.compile import CompileLimits, compile_program, compile_program_now
from wasmind.sandbox.engine import Engine
from wasmind.sandbox.figures import Figures
from wasmind.sandbox.guest import Guest
from wasmind.sandbox.interface import HostFunction, Interface
from wasmind.sandbox.memory import Memory
from wasmind.sandbox.program import Program
from wasmind.sandbox.text import from_text
from wasmind.sandbox.values import F32, F64, S32, S64, U32, U64, Kind, Scalar, Signature

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
    "Figures",
    "Guest",
    "HostFunction",
    "Interface",
    "Kind",
    "Memory",
    "Program",
    "Scalar",
    "Signature",
    "compile_program",
    "compile_program_now",
    "from_text",
]
