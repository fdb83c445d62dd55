from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.sandbox import GUEST, Desk
from wasmind.config import Limits
from wasmind.errors import NodeError
from wasmind.sandbox import Engine, Guest, Program, Spare
from wasmind.sandbox.spare import MOST_LATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Spare]

LIMITS = Limits(cpu_ms=5_000)


@pytest.fixture
def spare_of(engine: Engine, program: Program) -> Iterator[Make]:
    """Spares of a program; none may be left at the test's end."""
    made: list[Spare] = []
    before = engine.live

    def spare(of: Program | None = None, limits: Limits = LIMITS) -> Spare:
        made.append(Spare(engine, lambda host: Guest(of or program, limits, host)))
        return made[-1]

    yield spare
    for one in made:
        one.close()
    assert engine.spares == 0
    assert engine.live == before


async def test_what_is_ready_runs_as_what_is_made_for_a_run(engine: Engine, spare_of: Make) -> None:
    spare = spare_of()
    for expected in (0, 1):
        assert engine.spares == expected
        host = Desk()
        guest = spare.take(host)
        assert engine.spares == 0
        await guest.run()
        assert host.seen == [(2, 3)]
        assert guest.exit_code == 0
        guest.close()
        assert guest.figures.memory_peak == 65536
        assert guest.figures.host_calls == 1
        spare.fill()
        spare.fill()
    assert engine.spares == 1, "there is never more than one"


async def test_nobody_gets_what_another_has_written_to(spare_of: Make) -> None:
    spare = spare_of()
    spare.fill()
    for _ in range(3):
        guest = spare.take(Desk())
        spare.fill()
        await guest.start()
        assert guest.memory.u32(1024) == 0
        guest.memory.set_u32(1024, 7)
        assert (await guest.call("load", 1024)) == (7,)
        guest.close()


async def test_wall_time_counts_from_the_request(spare_of: Make) -> None:
    spare = spare_of(limits=Limits(wall_ms=60))
    spare.fill()
    time.sleep(0.08)
    host = Desk()
    guest = spare.take(host)
    host.gate.set()
    await guest.start()
    assert await guest.call("wait", 4) == (8,)
    guest.close()
    assert guest.figures.wall_ns < 60e6


async def test_what_it_took_to_make_is_charged(spare_of: Make) -> None:
    spare = spare_of()
    spare.fill()
    guest = spare.take(Desk())
    assert guest.figures.cpu_ns > 0
    guest.close()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("(drop (call $add (i32.const 1) (i32.const 2)))", id="wants-its-host"),
        pytest.param("(unreachable)", id="traps"),
    ],
)
async def test_a_start_that_fails_without_its_host(
    load: Callable[..., Program], spare_of: Make, start: str
) -> None:
    spare = spare_of(
        load(f"""(module (import "host" "add" (func $add (param i32 i32) (result i32)))
          (memory (export "memory") 1) (func $start {start}) (start $start) (func (export "_start")))""")
    )
    spare.fill()
    assert not spare.possible
    if "add" in start:
        host = Desk()
        guest = spare.take(host)
        await guest.run()
        assert host.seen == [(1, 2)], "it starts with its host"
        guest.close()


async def test_one_that_ends_as_it_starts_is_not_kept(
    engine: Engine, load: Callable[..., Program], spare_of: Make
) -> None:
    ends = """(module (import "host" "leave" (func $leave (param i32)))
      (func $start (call $leave (i32.const 0))) (start $start) (func (export "_start")))"""
    spare = spare_of(load(ends))
    spare.fill()
    assert engine.spares == 0
    guest = spare.take(Desk())
    await guest.run()
    assert guest.exit_code == 0
    guest.close()


async def test_a_start_that_lasts_is_given_up_after_some_tries(
    load: Callable[..., Program], spare_of: Make
) -> None:
    spare = spare_of(load('(module (func $spin (loop $l (br $l))) (start $spin) (func (export "_start")))'))
    for _ in range(MOST_LATE):
        assert spare.possible
        spare.fill()
    assert not spare.possible


async def test_one_that_nobody_takes_is_dropped(engine: Engine, spare_of: Make) -> None:
    spare = spare_of()
    spare.fill()
    spare.expire()
    assert engine.spares == 0
    spare.fill()
    spare.take(Desk()).close()
    spare.fill()
    spare.expire()
    assert engine.spares == 1, "it was asked for"
    spare.expire()
    assert engine.spares == 0


async def test_none_is_made_while_the_pool_is_half_full(engine: Engine, spare_of: Make) -> None:
    spare, warm = spare_of(), engine.tiers[0]
    others = warm.capacity // 2 + 1
    warm.live += others
    spare.fill()
    assert engine.spares == 0
    warm.live -= others
    spare.fill()
    assert engine.spares == 1


async def test_a_prepared_guest_is_closed_like_any(engine: Engine, program: Program) -> None:
    live = engine.live
    guest = Guest(program, LIMITS, None)
    assert guest.prepare()
    assert engine.live == live + 1
    with pytest.raises(NodeError, match="runs once"):
        guest.prepare()
    guest.close()
    assert engine.live == live


async def test_pages_are_not_learned_from_one_that_never_ran(
    load: Callable[..., Program], spare_of: Make
) -> None:
    program = load(GUEST.replace("(memory", "(memory ", 1))
    left = program.pages.left
    spare = spare_of(program)
    spare.fill()
    spare.close()
    assert program.pages.left == left
