"""Programs of several modules, linked for each guest: the form of a component that cannot be one module.

Slower to start than a Program by a multiple, and it takes an instance of the pool for each module.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wasmind.errors import NodeError, ProgramError, UnknownImport
from wasmind.sandbox import ffi
from wasmind.sandbox.callbacks import Callbacks
from wasmind.sandbox.guest import Guest, Host
from wasmind.sandbox.imports import provided
from wasmind.sandbox.program import Function, Program, define, exported, map_module
from wasmind.sandbox.scratch import ERROR, INSTANCE, MEMORY, TRAP

if TYPE_CHECKING:
    from wasmind.config import Limits
    from wasmind.sandbox.artifact import Artifact
    from wasmind.sandbox.engine import Engine
    from wasmind.sandbox.interface import HostFunction, Interface

_INSTANCE_SIZE = 16


@dataclass(frozen=True, slots=True)
class Given:
    """What one import of a step is given: a host function, or the export of an earlier step."""

    module: bytes
    name: bytes
    host: HostFunction | None
    step: int = 0
    export: bytes = b""


@dataclass(frozen=True, slots=True)
class Step:
    """One instance: the artifact it is of, and what its imports are given, in order."""

    artifact: int
    given: tuple[Given, ...]


class LinkedProgram(Program):
    """Artifacts that are instantiated one after the other in one store."""

    def __init__(
        self,
        engine: Engine,
        artifacts: Sequence[Artifact],
        steps: Sequence[Step],
        exports: Mapping[str, tuple[int, str]],
    ) -> None:
        """`exports` are the program's, by name: the step that exports it, and what it calls it."""
        used = {str(each.host): each.host for step in steps for each in step.given if each.host is not None}
        super().__init__(engine, artifacts[-1], tuple(used.values()))
        self.steps = steps
        self.places = exports
        self.functions = self._functions(artifacts)
        self.memory_name = b"memory" if "memory" in exports else b""
        self.initializes = False
        outlines = [artifacts[step.artifact].outline for step in steps]
        sizes = [size for each in outlines for size in each.memories]
        self.memories = max(1, len(sizes))
        self.memory_least = max(sizes, default=0) * self.memories
        self.table_least = max((max(each.tables, default=0) for each in outlines), default=0)
        self.modules = [
            [map_module(tier.pointer, artifact) for artifact in artifacts] for tier in engine.tiers
        ]

    @classmethod
    def link(
        cls,
        engine: Engine,
        artifacts: Sequence[Artifact],
        steps: Iterable[tuple[int, Iterable[tuple[str, str, int | tuple[str, str], str]]]],
        exports: Mapping[str, tuple[int, str]],
        interfaces: Iterable[Interface],
    ) -> LinkedProgram:
        """Map the artifacts. A step is an artifact and its imports: (module, name, source, export).

        A source is the number of an earlier step, or the module and name of a host function. Raises
        ProgramError.
        """
        functions = provided(interfaces)
        made = []
        for artifact, links in steps:
            given = [
                _given(module, name, source, export, functions) for module, name, source, export in links
            ]
            made.append(Step(artifact, tuple(given)))
        return cls(engine, artifacts, made, exports)

    def _functions(self, artifacts: Sequence[Artifact]) -> dict[str, Function]:
        found = {}
        for name, (step, export) in self.places.items():
            functions = exported(artifacts[self.steps[step].artifact])
            if export in functions:
                found[name] = replace(functions[export], name=export.encode())
        return found

    def close(self) -> None:
        """Free it. Guests that run it are closed first."""
        super().close()
        for modules in getattr(self, "modules", ()):
            while modules:
                ffi.module_delete(modules.pop())


def _given(
    module: str,
    name: str,
    source: int | tuple[str, str],
    export: str,
    functions: Mapping[tuple[str, str], HostFunction],
) -> Given:
    if isinstance(source, int):
        return Given(module.encode(), name.encode(), None, source, export.encode())
    host = functions.get(source)
    if host is None:
        raise UnknownImport(f"nothing provides {source[0]}.{source[1]}")
    return Given(module.encode(), name.encode(), host)


class LinkedGuest(Guest[Host]):
    """One run of a linked program."""

    __slots__ = ("_buffer", "_instances", "_linked", "_more")

    def __init__(self, program: LinkedProgram, limits: Limits, host: Host) -> None:
        super().__init__(program, limits, host)
        self._linked = program
        self._buffer = ffi.buffer(_INSTANCE_SIZE * len(program.steps))()
        self._instances = memoryview(self._buffer).cast("B")
        self._more = 0
        """How many instances it takes of the pool, besides the one that every guest takes."""

    async def start(self) -> None:
        """Make the instances, whose start functions run in their order. Raises as `run` does."""
        scratch, tier = self._open()
        self._more = len(self._linked.steps) - 1
        tier.live += self._more
        for number, step in enumerate(self._linked.steps):
            linker = ffi.linker_new(tier.pointer)
            try:
                self._provide(linker, step)
                module = self._linked.modules[tier.index][step.artifact]
                at = scratch.address
                self._future = ffi.linker_instantiate(
                    linker, self._context, module, at + INSTANCE, at + TRAP, at + ERROR
                )
                if not self._poll():
                    await self._continue()
                self._settle_call()
            finally:
                ffi.linker_delete(linker)
            if not self._context:
                return
            place = number * _INSTANCE_SIZE
            self._instances[place : place + _INSTANCE_SIZE] = scratch.view[
                INSTANCE : INSTANCE + _INSTANCE_SIZE
            ]
            self._look_for_memory(number)

    def prepare(self) -> bool:
        """Its instances are made when they are asked for."""
        return False

    def _provide(self, linker: int, step: Step) -> None:
        item = ffi.buffer(ffi.EXTERN_SIZE)()
        for each in step.given:
            if each.host is not None:
                error = define(linker, each.module, each.name, each.host)
            else:
                self.find(each.step, each.export, ctypes.addressof(item))
                error = ffi.linker_define_item(
                    linker, self._context, each.module, len(each.module), each.name, len(each.name), item
                )
            if error:
                raise ProgramError("the program cannot be linked", cause=ffi.take_error(error))

    def find(self, step: int, export: bytes, to: int) -> None:
        """Write an export of an instance to an address, as a `wasmtime_extern_t`."""
        instance = ctypes.addressof(self._buffer) + step * _INSTANCE_SIZE
        if not ffi.export_get(self._context, instance, export, len(export), to):
            raise NodeError(f"the instance has no export {export.decode()!r}")

    def _look_for_memory(self, number: int) -> None:
        step, export = self._linked.places.get("memory", (-1, ""))
        scratch = self._scratch
        if step == number and scratch is not None:
            at = scratch.address + MEMORY
            self.find(step, export.encode(), at)
            moves = self._engine.room.profile.moves
            self.memory.attach(self._context, at + ffi.EXTERN_OFFSET, moves, self)

    async def call(self, export: str, *values: float) -> tuple[Any, ...]:
        """Call an export, as `Guest.call` does."""
        step, _ = self._linked.places.get(export, (0, ""))
        if self._scratch is not None:
            place = step * _INSTANCE_SIZE
            held = self._instances[place : place + _INSTANCE_SIZE]
            self._scratch.view[INSTANCE : INSTANCE + _INSTANCE_SIZE] = held
        return await super().call(export, *values)

    def close(self) -> None:
        """Drop everything, as `Guest.close` does."""
        more, tier = (self._more, self._tier) if self._store else (0, None)
        super().close()
        if tier is not None:
            tier.live -= more

    def _back(self) -> Callbacks:
        if self._callbacks is None and self._scratch is not None:
            self._callbacks = LinkedCallbacks(self, self._linked.places, self._context)
        return super()._back()


class LinkedCallbacks(Callbacks):
    """The exports of a linked program, whichever instance they are of."""

    __slots__ = ("_find_export", "_places")

    def __init__(self, guest: LinkedGuest[Any], places: Mapping[str, tuple[int, str]], context: int) -> None:
        super().__init__(guest, context, 0)
        self._places = places
        self._find_export = guest.find

    def _item(self, export: str) -> ctypes.Array[ctypes.c_char]:
        item = ffi.buffer(ffi.EXTERN_SIZE)()
        step, name = self._places[export]
        self._find_export(step, name.encode(), ctypes.addressof(item))
        return item
