"""A component that was built, loaded into a process: linked with what the host offers, ready for guests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wasmind.component.bind import Binding, Export
from wasmind.component.build import Built
from wasmind.component.interface import WitInterface
from wasmind.component.linked import Linking
from wasmind.component.plan import INITIALIZE
from wasmind.sandbox import Guest, LinkedGuest, LinkedProgram, Program

if TYPE_CHECKING:
    from wasmind.config import Limits
    from wasmind.sandbox import Engine


class Component:
    """Runs guests:

        guest = component.guest(limits, host)
        try:
            await component.start(guest)
            await component.export("wasi:cli/run@0.2.0", "run")(guest)
        finally:
            guest.close()

    `host` must have an attribute `contexts`, which is the canonical ABI's.
    """

    def __init__(self, program: Program, binding: Binding) -> None:
        self.program = program
        self.binding = binding

    @classmethod
    def load(cls, engine: Engine, built: Built, offered: Sequence[WitInterface]) -> Component:
        """Map the artifacts and link them; nothing is compiled. Raises ProgramError."""
        binding = Binding(built.plan, offered)
        if built.linking is None:
            return cls(Program.load(engine, built.artifacts[0], binding.interfaces), binding)
        steps = _steps(built.linking)
        program = LinkedProgram.link(
            engine, built.artifacts, steps, built.linking.exports, binding.interfaces
        )
        return cls(program, binding)

    def guest(self, limits: Limits, host: Any) -> Guest[Any]:
        """A new run, not yet started."""
        return self.open(self.bare(limits, host))

    def bare(self, limits: Limits, host: Any) -> Guest[Any]:
        """A guest that `open` makes a run."""
        program = self.program
        if isinstance(program, LinkedProgram):
            return LinkedGuest(program, limits, host)
        return Guest(program, limits, host)

    def open(self, guest: Guest[Any]) -> Guest[Any]:
        """Give a guest's host, which is known by now, what the canonical ABI needs."""
        guest.host.contexts = self.binding.open(guest)
        return guest

    async def start(self, guest: Guest[Any]) -> None:
        """Make the instances and run their start functions. Raises as `Guest.run` does."""
        await guest.start()
        if self.program.initializes and guest.exit_code is None:
            await guest.call(INITIALIZE)

    def export(self, interface: str, name: str) -> Export | None:
        """An exported function, of this interface in any compatible version; None if there is none."""
        return self.binding.export(interface, name)

    def close(self) -> None:
        """Free it. Guests that run it are closed first."""
        self.program.close()


def _steps(linking: Linking) -> list[tuple[int, list[tuple[str, str, int | tuple[str, str], str]]]]:
    return [
        (
            stage.module,
            [
                (
                    each.module,
                    each.name,
                    (each.interface, each.export) if each.stage is None else each.stage,
                    each.export,
                )
                for each in stage.links
            ],
        )
        for stage in linking.stages
    ]
