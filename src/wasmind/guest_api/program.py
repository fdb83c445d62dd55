"""What kind of program a function is, told from its bytes, and compiling it for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wasmind.component.binary.reader import is_component
from wasmind.component.build import Built, build, build_now
from wasmind.component.interface import compatible
from wasmind.component.plan import Forward, Lower, Plan
from wasmind.errors import ProgramError
from wasmind.guest_api.command import INTERFACES
from wasmind.guest_api.kind import Kind
from wasmind.guest_api.wasi.p2.command import RUN
from wasmind.guest_api.wasi_http.interfaces import HANDLER, WORLD
from wasmind.sandbox import compile_program, compile_program_now

if TYPE_CHECKING:
    from wasmind.sandbox import Artifact, CompileLimits


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A function's program, ready to be loaded by any process on this machine."""

    kind: Kind
    path: Path
    """What is loaded: a module's artifact, or the record of a component that was built."""
    digest: str
    """SHA-256 of the program's bytes, in hexadecimal."""
    size: int
    code_size: int
    imports: tuple[str, ...]
    """What it calls, as `module.name`."""
    exports: tuple[str, ...]
    linked: str | None = None
    """Why a component could not be made one module, if it could not: its instances take longer to make."""


async def compile_function(program: Path, cache: Path, limits: CompileLimits) -> Compiled:
    """Compile a function's program, or find it compiled. Cancelling ends the compiler.

    Raises ProgramError, which says why it is refused.
    """
    if _is_component(program):
        return _component(await build(program, cache, WORLD, limits))
    return _module(await compile_program(program, cache, INTERFACES, limits))


def compile_function_now(program: Path, cache: Path, limits: CompileLimits) -> Compiled:
    """Do as `compile_function`, for callers without an event loop."""
    if _is_component(program):
        return _component(build_now(program, cache, WORLD, limits))
    return _module(compile_program_now(program, cache, INTERFACES, limits))


def kind_of(plan: Plan) -> Kind:
    """How a component serves requests. Raises ProgramError if it does not."""
    names = [(each.interface, each.name) for each in plan.exports]
    if any(name == "handle" and compatible(HANDLER, interface) for interface, name in names):
        return "wasi-http"
    if any(name == "run" and compatible(RUN, interface) for interface, name in names):
        return "wasi-cli"
    exported = ", ".join(dict.fromkeys(interface or name for interface, name in names)) or "nothing"
    raise ProgramError(
        "the component serves no requests",
        cause=f"it exports {exported}, and neither wasi:http/incoming-handler@0.2 nor wasi:cli/run@0.2",
        remedy="build it for the world wasi:http/proxy, or as a command that speaks CGI",
    )


def _is_component(program: Path) -> bool:
    """Whether a file begins as a component does; one that cannot be read is refused when it is compiled."""
    try:
        with program.open("rb") as file:
            return is_component(file.read(8))
    except OSError:
        return False


def _module(artifact: Artifact) -> Compiled:
    return Compiled(
        kind="cgi",
        path=artifact.path,
        digest=artifact.digest,
        size=artifact.size,
        code_size=artifact.code_size,
        imports=tuple(f"{found.module}.{found.name}" for found in artifact.imports),
        exports=tuple(found.name for found in artifact.exports),
    )


def _component(built: Built) -> Compiled:
    assert built.record is not None
    plan = built.plan
    called = [each.does for each in plan.imports] + [each.function for each in plan.exports]
    imports = [f"{each.interface}.{each.name}" for each in called if isinstance(each, Lower | Forward)]
    return Compiled(
        kind=kind_of(plan),
        path=built.record,
        digest=built.digest,
        size=built.size,
        code_size=built.code_size,
        imports=tuple(dict.fromkeys(imports)),
        exports=tuple(f"{each.interface}.{each.name}".lstrip(".") for each in plan.exports),
        linked=built.reason,
    )
