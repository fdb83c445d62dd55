from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support.sandbox import GUEST, Desk, host
from wasmind.config import Limits
from wasmind.errors import NodeError, Overloaded
from wasmind.sandbox import Engine, Guest, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Guest[Desk]]


def test_instances_come_from_a_pool(engine: Engine) -> None:
    assert engine.pooling
    assert engine.instances >= 2_000
    assert sum(tier.capacity for tier in engine.tiers) == engine.instances


async def test_a_full_engine_refuses_and_recovers(cache: Path) -> None:
    with Engine(instances=300) as engine:
        assert engine.instances == 300
        program = Program.load(engine, compile_program_now(from_text(GUEST), cache, [host]), [host])
        guests = [Guest(program, Limits(), Desk()) for _ in range(301)]
        for guest in guests[:300]:
            await guest.start()
        with pytest.raises(Overloaded, match="too many functions are running"):
            await guests[300].start()
        guests[7].close()
        late = Guest(program, Limits(), Desk())
        await late.start()
        assert await late.call("sum", 1, 2) == (3,)
        for guest in (*guests, late):
            guest.close()
        program.close()


async def test_a_program_leaves_half_of_the_warm_slots_to_others(
    make: Make, load: Callable[..., Program], engine: Engine
) -> None:
    warm, cold = engine.tiers
    half = warm.capacity // 2
    guests = [make() for _ in range(warm.capacity)]
    for guest in guests:
        await guest.start()
    assert (warm.live, cold.live) == (half, half)
    assert await guests[-1].call("sum", 1, 1) == (2,)
    other = make(None, load('(module (func (export "_start")))'))
    await other.start()
    assert (warm.live, cold.live) == (half + 1, half)
    guests[0].close()
    guests[-1].close()
    other.close()
    assert (warm.live, cold.live) == (half - 1, half - 1)
    await make().start()
    assert (warm.live, cold.live) == (half, half - 1)


async def test_an_engine_with_guests_cannot_be_closed(cache: Path) -> None:
    engine = Engine(instances=256)
    program = Program.load(engine, compile_program_now(from_text(GUEST), cache, [host]), [host])
    guest = Guest(program, Limits(), Desk())
    await guest.start()
    with pytest.raises(NodeError, match="still running guests"):
        engine.close()
    guest.close()
    program.close()
    engine.close()
    engine.close()


def test_guests_run_in_one_loop_after_another(make: Make) -> None:
    for _ in range(3):
        guest = make()

        async def run(guest: Guest[Desk]) -> tuple[int, ...]:
            await guest.start()
            guest.host.gate = asyncio.Event()
            asyncio.get_running_loop().call_later(0.001, guest.host.gate.set)
            await guest.call("busy", 5_000_000)
            return await guest.call("wait", 4)

        assert asyncio.run(run(guest)) == (8,)


async def test_a_small_guest_runs_beside_many_that_spin(make: Make) -> None:
    async def spin(guest: Guest[Desk]) -> None:
        await guest.start()
        with pytest.raises(asyncio.CancelledError):
            await guest.call("spin")

    spinning = [asyncio.create_task(spin(make(Limits(cpu_ms=60_000)))) for _ in range(50)]
    await asyncio.sleep(0.1)
    took = []
    for _ in range(20):
        small = make()
        began = time.thread_time()
        await small.run()
        took.append(time.thread_time() - began)
        small.close()
        await asyncio.sleep(0)
    for task in spinning:
        task.cancel()
    await asyncio.gather(*spinning)
    assert sorted(took)[10] < 0.01  # of 50 ms and more, were it to wait for each of them once


async def test_slices_are_shared_out_evenly(make: Make) -> None:
    guests = [make(Limits(cpu_ms=60_000)) for _ in range(5)]
    for guest in guests:
        await guest.start()
    tasks = [asyncio.create_task(guest.call("spin")) for guest in guests]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    used = sorted(guest.figures.cpu_ns for guest in guests)
    assert used[0] > 0.5 * used[-1]


CRAMPED = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.sandbox import GUEST, Desk, host
from wasmind.config import Limits
from wasmind.sandbox import Engine, Guest, Program, compile_program_now, from_text

engine = Engine()
print(engine.pooling, *engine.notes)
program = Program.load(engine, compile_program_now(from_text(GUEST), Path(sys.argv[1]), [host]), [host])

async def main():
    guests = [Guest(program, Limits(), Desk()) for _ in range(20)]
    for index, guest in enumerate(guests):
        await guest.start()
        guest.memory.set_u32(8, index)
        assert await guest.call("grow", 50) == (1,)
        guest.memory.set_u32(50 * 65536, index)
        assert (await guest.call("load", 8)) == (await guest.call("load", 50 * 65536)) == (index,)
        guest.host.act = lambda guest: guest.call_nested("grow", 20) + guest.memory.u32(8)
        assert await guest.call("act") == (51 + index,)
        guest.host.gate.set()
        assert await guest.call("wait", 3) == (6,)
    for guest in guests:
        guest.close()

asyncio.run(main())
program.close()
engine.close()
print("done")
"""


def test_a_limited_address_space_is_told_and_worked_with(tmp_path: Path) -> None:
    """Memories may move there as they grow, so that bounds are asked for at each access."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    tests = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run(
        [sys.executable, "-c", CRAMPED, str(tmp_path / "cache"), tests],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("False no memory pool, since the address space is limited to 6144 MiB")
    assert last == "done"
