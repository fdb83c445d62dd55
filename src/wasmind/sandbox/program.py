"""A program ready to run: its artifact mapped, its imports linked, its exports known."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from operator import and_
from typing import TYPE_CHECKING, Any

from wasmind.errors import ProgramError, UnknownImport
from wasmind.sandbox import ffi
from wasmind.sandbox.imports import check_imports, provided
from wasmind.sandbox.pages import Pages
from wasmind.sandbox.scratch import MOST_VALUES
from wasmind.sandbox.trap import explain_error
from wasmind.sandbox.values import Kind, Scalar, Signature, checked_layout, raw_layout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from struct import Struct

    from wasmind.sandbox.artifact import Artifact
    from wasmind.sandbox.engine import Engine
    from wasmind.sandbox.interface import HostFunction, Interface

_READ = {Kind.I32: "I", Kind.I64: "Q", Kind.F32: "f", Kind.F64: "d"}
_MASK = {Kind.I32: 0xFFFF_FFFF, Kind.I64: 0xFFFF_FFFF_FFFF_FFFF}


@dataclass(frozen=True, slots=True)
class Function:
    """An exported function: how its arguments and results lie in memory. Integers are unsigned."""

    name: bytes
    signature: Signature
    taken: int
    given: int
    arguments: Struct
    results: Struct
    raw_arguments: Struct
    raw_results: Struct
    kinds: bytes
    """The numbers of its parameters' types in Wasmtime's C API."""
    masks: tuple[int, ...] | None
    """The bits of each parameter, where all are integers."""

    def checked(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Bring values into the range of their types; a negative integer is taken as its bits. Raises
        TypeError."""
        if len(values) != self.taken:
            raise TypeError(f"{self.name.decode()} takes {self.signature}, got {len(values)} values")
        if self.masks is not None:
            return tuple(map(and_, values, self.masks))
        kinds = self.signature.parameters
        return tuple(v & _MASK[k] if k in _MASK else float(v) for v, k in zip(values, kinds, strict=True))


class Program:
    """A program that guests run; it is loaded once per engine, and must outlive its guests."""

    def __init__(self, engine: Engine, artifact: Artifact, linked: tuple[HostFunction, ...]) -> None:
        self.engine = engine
        self.artifact = artifact
        self.pointers: list[int] = []
        """The pre-linked instance (`wasmtime_instance_pre_t`) in each of the engine's tiers."""
        self.warm = 0
        """How many of its guests hold a slot of the warm tier."""
        self.functions = exported(artifact)
        self.memory_name = (
            b"memory" if any(e.kind == "memory" and e.name == "memory" for e in artifact.exports) else b""
        )
        self.initializes = "_initialize" in self.functions
        self.memories = max(1, len(artifact.outline.memories))
        """How many memories share what a guest may use; Wasmtime limits each."""
        self.memory_least = max(artifact.outline.memories, default=0) * self.memories
        self.table_least = max(artifact.outline.tables, default=0)
        self.pages = Pages(self.memory_least if self.memories == 1 and self.memory_name else 0)
        self._linked = linked  # keeps the callbacks alive

    @classmethod
    def load(cls, engine: Engine, artifact: Artifact, interfaces: Iterable[Interface]) -> Program:
        """Map the artifact and link it; nothing is compiled. Raises ProgramError."""
        interfaces = tuple(interfaces)
        check_imports(artifact.outline, interfaces)
        if artifact.profile != engine.room.profile.name or artifact.stack != engine.stack:
            raise ProgramError(
                "the program was compiled for another configuration",
                cause=f"for {artifact.profile} memories and {artifact.stack} bytes of stack; "
                f"this process has {engine.room.profile.name} memories and {engine.stack} bytes",
                remedy="compile it again under the limits that this process has",
            )
        functions = provided(interfaces)
        linked = tuple({(i.module, i.name): functions[i.module, i.name] for i in artifact.imports}.values())
        program = cls(engine, artifact, linked)
        for tier in engine.tiers:
            program.pointers.append(_load(tier.pointer, artifact, linked))
        return program

    def close(self) -> None:
        """Free it. Guests that run it are closed first."""
        self.pages.close()
        while self.pointers:
            ffi.instance_pre_delete(self.pointers.pop())

    def __del__(self) -> None:
        self.close()

    def function(self, name: str) -> Function:
        """Return an exported function. Raises ProgramError, which names those that exist."""
        try:
            return self.functions[name]
        except KeyError:
            raise ProgramError(
                f"the program exports no function {name!r}",
                cause=f"it exports {', '.join(sorted(self.functions)) or 'none'}",
                remedy='a command exports "_start": build an executable, not a library'
                if name == "_start"
                else None,
            ) from None


def _load(engine: int, artifact: Artifact, functions: Iterable[HostFunction]) -> int:
    """Map the artifact into one of Wasmtime's engines, and link it there."""
    module = map_module(engine, artifact)
    try:
        return _link(engine, module, functions)
    finally:
        ffi.module_delete(module)


def map_module(engine: int, artifact: Artifact) -> int:
    """Map the artifact into one of Wasmtime's engines; the caller owns the module. Raises ProgramError."""
    module = ctypes.c_size_t()
    error = ffi.module_deserialize_file(engine, bytes(artifact.path), ctypes.addressof(module))
    if error:
        raise ProgramError(
            f"the artifact {artifact.path.name} cannot be loaded",
            cause=ffi.take_error(error).partition("\n")[0],
            remedy="compile the program again on this machine",
        )
    return module.value


def _link(engine: int, module: int, functions: Iterable[HostFunction]) -> int:
    linker = ffi.linker_new(engine)
    try:
        for host in functions:
            error = define(linker, host.module.encode(), host.name.encode(), host)
            if error:
                raise UnknownImport(f"{host} cannot be linked", cause=ffi.take_error(error))
        pre = ctypes.c_size_t()
        error = ffi.linker_instantiate_pre(linker, module, ctypes.addressof(pre))
        if error:
            raise ProgramError("the program cannot be linked", cause=explain_error(error).cause)
        return pre.value
    finally:
        ffi.linker_delete(linker)


def define(linker: int, module: bytes, name: bytes, host: HostFunction) -> int:
    """Define a host function in a linker under any name; an error that the caller owns, or 0."""
    callback = ctypes.cast(host.callback, ctypes.c_void_p).value
    kind = ffi.functype(
        *(tuple(k.number for k in ks) for ks in (host.signature.parameters, host.signature.results))
    )
    define = ffi.linker_define_async if host.suspends else ffi.linker_define
    error: int = define(linker, module, len(module), name, len(name), kind, callback, None, None)
    ffi.functype_delete(kind)
    return error


def exported(artifact: Artifact) -> dict[str, Function]:
    """The functions that an artifact exports."""
    return {
        export.name: _function(export.name, export.signature)
        for export in artifact.exports
        if export.kind == "function" and export.signature and _callable(export.signature)
    }


def _callable(signature: Signature) -> bool:
    """Whether there is room for its arguments and results; nobody calls a function that has more."""
    return max(len(signature.parameters), len(signature.results)) <= MOST_VALUES


def _function(name: str, signature: Signature) -> Function:
    parameters, results = (
        tuple(Scalar(kind.value, kind, _READ[kind]) for kind in kinds)
        for kinds in (signature.parameters, signature.results)
    )
    return Function(
        name.encode(),
        signature,
        len(parameters),
        len(results),
        checked_layout(parameters),
        checked_layout(results),
        raw_layout(parameters),
        raw_layout(results),
        bytes(kind.number for kind in signature.parameters),
        tuple(_MASK[kind] for kind in signature.parameters)
        if set(signature.parameters) <= set(_MASK)
        else None,
    )
