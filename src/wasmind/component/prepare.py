"""From a component's bytes to core modules and a plan, in a process of its own and under limits.

    python -m wasmind.component.prepare FORM MEMORY CPU < component > answer

What a stranger wrote is read here. The answer is a Prepared, or a Refused and exit status 1, as MessagePack.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Literal

import msgspec

from wasmind.component.fuse import Unfusable
from wasmind.component.fuse.fuser import fuse
from wasmind.component.linked import Linking, link
from wasmind.component.plan import Plan
from wasmind.component.planner import plan_component
from wasmind.errors import ProgramError, ProgramTooLarge

Form = Literal["fused", "linked"]
"""One core module, or one for each of the component's; without a wish it is fused if that is sound."""


class Prepared(msgspec.Struct, frozen=True):
    """A component as core modules. `linking` is None if it is one, which only imports from the host."""

    plan: Plan
    modules: tuple[bytes, ...]
    linking: Linking | None
    reason: str | None = None
    """Why it was not fused."""


class Refused(msgspec.Struct, frozen=True):
    """Why a component was refused: an error of `wasmind.errors` by its code."""

    code: str
    message: str
    cause: str | None
    remedy: str | None

    def error(self) -> ProgramError:
        """The error itself."""
        kind = next((each for each in _kinds(ProgramError) if each.code == self.code), ProgramError)
        return kind(self.message, cause=self.cause, remedy=self.remedy)


def _kinds(kind: type[ProgramError]) -> list[type[ProgramError]]:
    return [kind, *(found for each in kind.__subclasses__() for found in _kinds(each))]


def prepare(wasm: bytes, form: Form | None = None) -> Prepared:
    """Plan a component, and fuse it or not. Raises ProgramError."""
    planned = plan_component(wasm)
    reason = None
    if form != "linked" or not planned.assembly.instances:
        try:
            return Prepared(planned.plan, (fuse(planned),), None)
        except Unfusable as error:
            if form == "fused":
                raise
            reason = error.explain()
    modules, linking = link(planned)
    return Prepared(planned.plan, modules, linking, reason)


def main(form: str, memory: int, cpu_s: int) -> int:
    """Prepare the component on standard input; returns the exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with open(0, "rb") as source:
        wasm = source.read()
    answer: Prepared | Refused
    try:
        answer = prepare(wasm, form if form in ("fused", "linked") else None)  # type: ignore[arg-type]  # checked
    except ProgramError as error:
        answer = Refused(error.code, error.message, error.cause, error.remedy)
    except (MemoryError, RecursionError) as error:
        refused = ProgramTooLarge("reading the component took too much memory", cause=type(error).__name__)
        answer = Refused(refused.code, refused.message, refused.cause, refused.remedy)
    with open(1, "wb") as target:
        target.write(msgspec.msgpack.encode(answer))
    return int(isinstance(answer, Refused))


if __name__ == "__main__":
    status = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stderr.flush()
    os._exit(status)  # nothing to tear down that the kernel does not
