"""What a guest costs: to start, to call the host, to wait by the thousand, and to run beside others.

    python -m benchmarks.sandbox [requests] [calls] [waiting] [fairness] [--json] [--guests 10000]

Times are of the quietest of many short rounds, so that other processes on the machine disturb them little;
memory is resident memory of this process, divided by the guests that were added.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from wasmind.config import Limits
from wasmind.errors import CpuBudgetSpent
from wasmind.sandbox import U32, Engine, Guest, Interface, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

host = Interface("host")
Gate = asyncio.Future[None]


@host.function("add")
def add(guest: Guest[Gate], a: U32, b: U32) -> U32:
    return a + b


@host.function("maybe", suspends=True)
def maybe(guest: Guest[Gate], value: U32) -> U32 | Awaitable[U32]:
    return value


@host.function("soon")
async def soon(guest: Guest[Gate], value: U32) -> U32:
    return value


@host.function("infer")
async def infer(guest: Guest[Gate], value: U32) -> U32:
    """A slow inference: it takes as long as the benchmark says."""
    await asyncio.shield(guest.host)
    return value


@host.function("leave")
def leave(guest: Guest[Gate], code: U32) -> None:
    guest.exit(code)


GUEST = """(module
  (import "host" "add" (func $add (param i32 i32) (result i32)))
  (import "host" "maybe" (func $maybe (param i32) (result i32)))
  (import "host" "soon" (func $soon (param i32) (result i32)))
  (import "host" "infer" (func $infer (param i32) (result i32)))
  (import "host" "leave" (func $leave (param i32)))
  (memory (export "memory") 2)
  (table 16 funcref)
  (data (i32.const 1024) "what a small program has in its memory")
  (func $touch (i32.store (i32.const 4096) (i32.const 1)) (i32.store (i32.const 65532) (i32.const 1)))
  (func (export "sync") (call $touch) (drop (call $add (i32.const 1) (i32.const 2))))
  (func (export "async") (call $touch) (drop (call $soon (i32.const 1))))
  (func (export "exit") (call $touch) (call $leave (i32.const 0)))
  (func (export "infer") (call $touch) (drop (call $infer (i32.const 1))))
  (func (export "spin") (loop $again (br $again)))
  (func (export "call add") (param i32)
    (loop $again (drop (call $add (i32.const 1) (i32.const 2)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0))))
  (func (export "call maybe") (param i32)
    (loop $again (drop (call $maybe (i32.const 1)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0))))
  (func (export "call soon") (param i32)
    (loop $again (drop (call $soon (i32.const 1)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0)))))"""

LIMITS = Limits(cpu_ms=10_000)


async def run(program: Program, export: str, gate: Any = None, limits: Limits = LIMITS) -> None:
    """One request: store, instance, fiber, call, drop."""
    guest: Guest[Any] = Guest(program, limits, gate)
    try:
        await guest.run(export)
    finally:
        guest.close()


async def requests(program: Program, _: int) -> dict[str, float]:
    """Microseconds for one request with one host call of each kind."""
    found = {}
    for export in ("sync", "async", "exit"):
        rounds = []
        for _round in range(200):
            began = time.perf_counter()
            for _request in range(20):
                await run(program, export)
            rounds.append((time.perf_counter() - began) / 20 * 1e6)
        found[f"{export}, us"] = round(min(rounds), 1)
    return found


async def calls(program: Program, _: int) -> dict[str, float]:
    """Nanoseconds for one host call of each kind."""
    found = {}
    for kind in ("add", "maybe", "soon"):
        rounds = []
        for _round in range(50):
            guest: Guest[Any] = Guest(program, LIMITS, None)
            await guest.start()
            began = time.perf_counter()
            await guest.call(f"call {kind}", 500)
            rounds.append((time.perf_counter() - began) / 500 * 1e9)
            guest.close()
        found[f"{kind}, ns"] = round(min(rounds))
    return found


async def waiting(program: Program, guests: int) -> dict[str, float]:
    """Resident memory of each waiting guest, and the rate of another program's guests beside them."""
    found: dict[str, float] = {}
    other = _load(program.engine)
    alone = await _rate(other)
    for wave in ("first", "second"):
        gate: Gate = asyncio.get_running_loop().create_future()
        gc.collect()
        before = _resident()
        tasks = [asyncio.create_task(run(program, "infer", gate)) for _ in range(guests)]
        while program.engine.live < guests:
            await asyncio.sleep(0.01)
        gc.collect()
        found[f"{wave} wave, KiB resident each"] = round((_resident() - before) / guests / 1024, 1)
        if wave == "second":
            beside = await _rate(other)
            found["small guest beside them, of its rate alone"] = round(beside / alone, 2)
        gate.set_result(None)
        await asyncio.gather(*tasks)
    other.close()
    return found


async def fairness(program: Program, _: int) -> dict[str, float]:
    """Milliseconds for a small guest, alone and beside 50 that spend their whole budget.

    The last figure counts the CPU of this thread alone, which other processes on the machine do not disturb.
    """

    async def latencies() -> tuple[list[float], list[float]]:
        wall, cpu = [], []
        for _request in range(300):
            await asyncio.sleep(0.002)
            began, used = time.perf_counter(), time.thread_time()
            await run(program, "async")
            await asyncio.sleep(0)  # what a response to its client would take: one more round
            wall.append((time.perf_counter() - began) * 1e3)
            cpu.append((time.thread_time() - used) * 1e3)
        return statistics.quantiles(wall, n=100), statistics.quantiles(cpu, n=100)

    async def greedy() -> None:
        while not stop.is_set():
            try:
                await run(program, "spin", None, Limits(cpu_ms=50))
            except CpuBudgetSpent:
                continue

    stop = asyncio.Event()
    alone, _cpu = await latencies()
    spinning = [asyncio.create_task(greedy()) for _ in range(50)]
    await asyncio.sleep(0.2)
    beside, cpu = await latencies()
    stop.set()
    await asyncio.gather(*spinning)
    return {
        "alone p50, ms": round(alone[49], 3),
        "alone p99, ms": round(alone[98], 3),
        "beside 50 p50, ms": round(beside[49], 3),
        "beside 50 p99, ms": round(beside[98], 3),
        "beside 50 p99, ms of CPU": round(cpu[98], 3),
    }


async def _rate(program: Program) -> float:
    """Small guests for each second, in the quietest of many short rounds."""
    rounds = []
    for _round in range(300):
        began = time.perf_counter()
        for _request in range(10):
            await run(program, "sync")
        rounds.append(10 / (time.perf_counter() - began))
        await asyncio.sleep(0)
    return max(rounds)


def _load(engine: Engine) -> Program:
    with tempfile.TemporaryDirectory() as cache:
        artifact = compile_program_now(from_text(GUEST), Path(cache) / "artifacts", [host])
        return Program.load(engine, artifact, [host])


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


PARTS: dict[str, Callable[[Program, int], Awaitable[dict[str, float]]]] = {
    "requests": requests,
    "calls": calls,
    "waiting": waiting,
    "fairness": fairness,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all of them otherwise")
    parser.add_argument("--guests", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {}
    with Engine() as engine:
        program = _load(engine)
        for name in options.parts or PARTS:
            figures[name] = uvloop.run(PARTS[name](program, options.guests))
            if not options.json:
                print(f"{name}: " + "; ".join(f"{what} {value:g}" for what, value in figures[name].items()))
        program.close()
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
