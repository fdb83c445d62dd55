"""Components that real toolchains build: planned, fused, linked and run; both forms do the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from support.components import LIMITS, Instance, built, validate
from support.toolchains import c_text, command, javascript_text, python_text
from wasmind.component.abi.values import Err, Ok
from wasmind.component.component import Component
from wasmind.component.core.module import read_module
from wasmind.component.fuse.fuser import fuse
from wasmind.component.interface import WitInterface
from wasmind.component.plan import INITIALIZE
from wasmind.component.planner import plan_component
from wasmind.component.types import Primitive
from wasmind.errors import GuestExit
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


async def test_a_command_with_the_preview_1_adapter(engine: Engine) -> None:
    outputs = []
    for form in ("fused", "linked"):
        component = Component.load(engine, built(command(), INTERFACES, form), INTERFACES)
        host = Surroundings()
        out, errors = BytesSink(), BytesSink()
        host.wasi = Wasi(BytesSource(b"one\ntwo\n"), out, errors, [b"shout", b"x"], lambda: [b"NAME=value"])
        guest = component.guest(LIMITS, host)
        await component.start(guest)
        run = component.export("wasi:cli/run@0.2.0", "run")
        assert run is not None
        with pytest.raises(GuestExit):
            await run(guest)
        outputs.append((out.value, errors.value, guest.exit_code, guest.figures.host_calls))
        guest.close()
        component.close()
    assert outputs[0] == outputs[1]
    assert outputs[0][:2] == (b"ONE\nTWO\n", b"value 2\n")


def test_shims_are_seen_through_but_not_behind_a_start_function() -> None:
    assert not any(each.limits.minimum > 1 for each in read_module(fuse(plan_component(c_text()))).tables)
    module = read_module(fuse(plan_component(command())))  # whose adapter has one
    assert len(module.tables) == 2
    assert INITIALIZE in module.exports
    assert not any(each.module.startswith("wasi_snapshot") for each in module.imports)
