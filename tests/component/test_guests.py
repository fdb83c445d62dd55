"""Components that real toolchains build: planned, fused, linked and run; both forms do the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from support.components import LIMITS, Instance, built, validate
from support.toolchains import c_text, javascript_text, python_text
from wasmind.component.abi.values import Err, Ok
from wasmind.component.component import Component
from wasmind.component.core.module import read_module
from wasmind.component.fuse.fuser import fuse
from wasmind.component.interface import WitInterface
from wasmind.component.planner import plan_component
from wasmind.component.types import Primitive
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.p2 import INTERFACES
from wasmind.guest_api.wasi.state import Wasi

if TYPE_CHECKING:
    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine

Guest = Callable[[], bytes]
GUESTS = [
    pytest.param(c_text, id="c"),
    pytest.param(javascript_text, id="javascript", marks=pytest.mark.slow),
    pytest.param(python_text, id="python", marks=pytest.mark.slow),
]


class Surroundings:
    """What a guest of the world `text` works on."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self.lines: list[str] = []
        self.wasi = Wasi(BytesSource(b""), BytesSink(), BytesSink())

    def note(self, text: str) -> None:
        """Nobody reads notes here."""

    def about_to_wait(self) -> None:
        """Nothing is buffered."""


def offered() -> tuple[WitInterface, ...]:
    root = WitInterface("")
    root.function("log", {"line": Primitive.STRING})(lambda guest, line: guest.host.lines.append(line))
    return (*INTERFACES, root)


@pytest.mark.parametrize("guest", GUESTS)
def test_guests_become_one_valid_module(guest: Guest) -> None:
    wasm = guest()
    began = time.process_time()
    planned = plan_component(wasm)
    fused = fuse(planned)
    took = time.process_time() - began
    assert validate(fused) == ""
    module = read_module(fused)
    known = {(each.module, each.name) for each in planned.plan.imports}
    assert {(each.module, each.name) for each in module.imports} <= known
    assert len(module.memories) == 1
    assert len(fused) < len(wasm) + (1 << 20)
    assert took < 5  # 0.7 s on an idle machine, for the largest


@pytest.mark.parametrize("guest", GUESTS)
async def test_both_forms_do_the_same(engine: Engine, guest: Guest) -> None:
    fused, linked = await answers(engine, guest(), "fused"), await answers(engine, guest(), "linked")
    assert fused == linked
    values, lines, _ = fused
    assert values == [
        Ok("HELLO WORLD!"),
        Ok("GRÜSSE ☃!" if guest is not c_text else "GRüßE ☃!"),
        Err("nothing to say"),
    ]
    assert lines == ["shouting 2", "shouting 2", "shouting 0"]


async def answers(engine: Engine, wasm: bytes, form: Form) -> tuple[list[Any], list[str], int]:
    """What a guest answers to the same calls, what it logs, and how often it calls the host."""
    component = Component.load(engine, built(wasm, offered(), form), offered())
    instance = Instance(component, LIMITS)
    instance.guest.close()
    host = Surroundings()
    instance.guest = component.guest(LIMITS, host)
    await instance.start()
    values = [await instance.call("shout", words) for words in (["hello", "world"], ["grüße", "☃"], [])]
    calls = instance.guest.figures.host_calls
    instance.close()
    return values, host.lines, calls
