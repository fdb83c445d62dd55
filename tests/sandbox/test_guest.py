from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.sandbox import Desk
from wasmind.config import Limits, Size
from wasmind.errors import (
    CpuBudgetSpent,
    DeadlinePassed,
    GuestExit,
    GuestTrap,
    LimitExceeded,
    ModelNotFound,
    NodeError,
    ProgramError,
)
from wasmind.sandbox import Guest

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Engine, Program

    Make = Callable[..., Guest[Desk]]


async def test_a_run_calls_start_and_exits_with_0(make: Make) -> None:
    guest = make()
    await guest.run()
    assert guest.host.seen == [(2, 3)]
    assert guest.exit_code == 0


async def test_arguments_and_results_keep_their_bits(make: Make) -> None:
    guest = make()
    await guest.start()
    assert await guest.call("sum", 40, 2) == (42,)
    assert await guest.call("echo64", 2**64 - 1) == (2**64 - 1,)
    assert await guest.call("echo64", -1) == (2**64 - 1,)
    assert await guest.call("echo32", 1.5) == (1.5,)
    assert await guest.call("pair") == (2**32 - 1, 2**64 - 2)
    assert await guest.call("mixed", -1, 2**63, 0.5) == (-1 + 2**63 + 0.5,)
    assert guest.host.seen[-1] == (-1, 2**63, 0.5)


async def test_instances_of_a_program_share_nothing(make: Make) -> None:
    one, other = make(), make()
    await one.start()
    await other.start()
    one.memory.set_u32(64, 7)
    assert await one.call("load", 64) == (7,)
    assert await other.call("load", 64) == (0,)


async def test_a_fresh_instance_never_shows_what_an_earlier_one_left(make: Make) -> None:
    for _ in range(50):
        guest = make()
        await guest.start()
        assert await guest.call("load", 60_000) == (0,)
        assert guest.memory.read(16, 11) == b"named-model"
        guest.memory.write(60_000, b"left")
        guest.memory.write(16, b"overwritten")
        guest.close()


async def test_an_async_host_function_suspends_only_its_guest(make: Make) -> None:
    waiting, other = make(), make()
    await waiting.start()
    task = asyncio.create_task(waiting.call("wait", 21))
    await asyncio.sleep(0.01)
    await other.start()
    assert await other.call("sum", 1, 2) == (3,)
    assert not task.done()
    waiting.host.gate.set()
    assert await task == (42,)
    assert waiting.figures.waited_ns > 5_000_000
    assert waiting.figures.cpu_ns < waiting.figures.waited_ns


async def test_a_function_that_may_wait_does_so_only_when_it_answers_an_awaitable(make: Make) -> None:
    guest = make()
    await guest.start()
    assert await guest.call("maybe", 3) == (4,)
    assert guest.figures.waited_ns == 0
    guest.host.gate.set()
    assert await guest.call("maybe", 30) == (60,)
    assert guest.figures.waited_ns > 0


async def test_a_wait_can_finish_on_the_fiber_and_call_the_guest(make: Make) -> None:
    guest = make()
    await guest.start()
    assert [await guest.call("lower", 100) for _ in range(3)] == [(4096,), (4196,), (4296,)]


async def test_memory_can_be_read_and_written_while_suspended(make: Make) -> None:
    guest = make()
    await guest.start()
    await guest.call("grow", 3)

    async def look(guest: Guest[Desk]) -> int:
        guest.memory.set_u32(3 * 65536, 5)
        return guest.memory.u32(3 * 65536)

    guest.host.act = look
    assert await guest.call("act_later") == (5,)
    assert await guest.call("load", 3 * 65536) == (5,)


# --- calling back -------------------------------------------------------------------------------------------


async def test_a_host_function_calls_its_guest_back(make: Make) -> None:
    guest = make()
    await guest.start()
    guest.host.act = lambda guest: guest.call_nested("allocate", 8) + guest.call_nested("allocate", 8)
    assert await guest.call("act") == (4096 + 4104,)


async def test_a_nested_call_outlives_ticks_without_yielding(make: Make) -> None:
    """A fiber that yielded below a host function's frame would crash the interpreter."""
    guests = [make() for _ in range(8)]
    for guest in guests:
        guest.host.act = lambda guest: guest.call_nested("busy", 3_000_000)
        await guest.start()
    results = await asyncio.gather(*(guest.call("act_often", 3) for guest in guests))
    assert results == [(77,)] * 8


async def test_guest_code_in_a_nested_call_cannot_wait(make: Make) -> None:
    guest = make()
    await guest.start()
    guest.host.act = lambda guest: guest.call_nested("wait", 1)
    with pytest.raises(GuestTrap, match=r"host.double_later would wait"):
        await guest.call("act")


async def test_guest_code_in_a_nested_call_may_call_what_does_not_wait(make: Make) -> None:
    guest = make()
    await guest.start()
    guest.host.act = lambda guest: guest.call_nested("maybe", 3) + guest.call_nested("sum", 1, 1)
    assert await guest.call("act") == (6,)


async def test_a_trap_in_a_nested_call_ends_the_guest(make: Make) -> None:
    guest = make()
    await guest.start()
    guest.host.act = lambda guest: guest.call_nested("divide", 0)
    with pytest.raises(GuestTrap, match="integer division by zero"):
        await guest.call("act")


async def test_an_endless_nested_call_ends_with_the_budget(make: Make) -> None:
    guest = make(Limits(cpu_ms=20))
    await guest.start()
    guest.host.act = lambda guest: guest.call_nested("spin")
    with pytest.raises(CpuBudgetSpent):
        await guest.call("act")


async def test_nested_depth_is_limited(make: Make) -> None:
    depths: list[int] = []

    def deeper(guest: Guest[Desk]) -> int:
        depths.append(guest.nested)
        return int(guest.call_nested("act"))

    guest = make()
    guest.host.act = deeper
    await guest.start()
    with pytest.raises(GuestTrap, match="call each other without end"):
        await guest.call("act")
    assert max(depths) == 16


async def test_calling_back_is_refused_outside_a_plain_host_function(make: Make) -> None:
    guest = make()
    await guest.start()
    with pytest.raises(NodeError, match="only a host function"):
        guest.call_nested("allocate", 1)

    async def later(guest: Guest[Desk]) -> int:
        return int(guest.call_nested("allocate", 1))

    guest.host.act = later
    with pytest.raises(NodeError, match="only a host function"):
        await guest.call("act_later")


# --- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 255, 2**32 - 1])
async def test_exit(make: Make, code: int) -> None:
    guest = make()
    await guest.start()
    if code:
        with pytest.raises(GuestExit, match=f"exited with status {code}"):
            await guest.call("leave", code)
    else:
        assert await guest.call("leave", 0) == ()
    assert guest.exit_code == code


async def test_exit_from_an_awaited_part(make: Make) -> None:
    async def leave(guest: Guest[Desk]) -> int:
        guest.exit(3)

    guest = make()
    await guest.start()
    guest.host.act = leave
    with pytest.raises(GuestExit):
        await guest.call("act_later")
    assert guest.exit_code == 3


async def test_a_trap_names_what_happened_and_where(make: Make) -> None:
    guest = make()
    await guest.start()
    with pytest.raises(GuestTrap) as caught:
        await guest.call("unreachable")
    assert "unreachable" in caught.value.message
    assert "boom" in (caught.value.cause or "")


async def test_an_error_of_a_host_function_ends_the_guest_with_an_explanation(make: Make) -> None:
    def fail(guest: Guest[Desk]) -> int:
        raise ValueError("a defect")

    guest = make()
    await guest.start()
    guest.host.act = fail
    with pytest.raises(GuestTrap, match=r"the host function host\.act failed") as caught:
        await guest.call("act")
    assert caught.value.cause == "ValueError: a defect"
    assert isinstance(caught.value.__cause__, ValueError)


async def test_an_error_of_ours_passes_through_as_itself(make: Make) -> None:
    error = ModelNotFound("there is no such model")

    def fail(guest: Guest[Desk]) -> int:
        raise error

    async def fail_later(guest: Guest[Desk]) -> int:
        raise error

    for export, act in (("act", fail), ("act_later", fail_later)):
        guest = make()
        await guest.start()
        guest.host.act = act
        with pytest.raises(ModelNotFound) as caught:
            await guest.call(export)
        assert caught.value is error


@pytest.mark.parametrize("answer", ["text", None, -1, 2**32, 1.5])
async def test_a_wrong_answer_of_a_host_function_ends_the_guest(make: Make, answer: Any) -> None:
    async def later(guest: Guest[Desk]) -> Any:
        return answer

    for export, act in (("act", lambda guest: answer), ("act_later", later)):
        guest = make()
        await guest.start()
        guest.host.act = act
        with pytest.raises(GuestTrap, match=r"the host function host\.act(_later)? failed"):
            await guest.call(export)


async def test_an_interrupt_in_a_host_function_stays_an_interrupt(make: Make) -> None:
    def interrupt(guest: Guest[Desk]) -> int:
        raise KeyboardInterrupt

    guest = make()
    await guest.start()
    guest.host.act = interrupt
    with pytest.raises(KeyboardInterrupt):
        await guest.call("act")


async def test_a_cancellation_inside_a_host_function_is_its_failure(make: Make) -> None:
    async def await_something_cancelled(guest: Guest[Desk]) -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    guest = make()
    await guest.start()
    guest.host.act = await_something_cancelled
    with pytest.raises(GuestTrap, match="failed"):
        await guest.call("act_later")


async def test_a_failed_guest_is_closed_and_cannot_go_on(make: Make, engine: Engine) -> None:
    guest = make()
    await guest.start()
    live = engine.live
    with pytest.raises(GuestTrap):
        await guest.call("unreachable")
    assert engine.live == live - 1
    with pytest.raises(NodeError, match="cannot be called"):
        await guest.call("sum", 1, 2)
    with pytest.raises(NodeError, match="runs once"):
        await guest.start()


# --- limits -------------------------------------------------------------------------------------------------


async def test_an_endless_guest_is_stopped_by_its_budget(make: Make) -> None:
    guest = make(Limits(cpu_ms=30))
    await guest.start()
    with pytest.raises(CpuBudgetSpent, match="ms of CPU") as caught:
        await guest.call("spin")
    assert 30e6 <= guest.figures.cpu_ns < 60e6
    assert caught.value.cause == "its budget is 30 ms"


async def test_waiting_costs_no_budget(make: Make) -> None:
    guest = make(Limits(cpu_ms=10))
    await guest.start()
    asyncio.get_running_loop().call_later(0.05, guest.host.gate.set)
    assert await guest.call("wait", 1) == (2,)


async def test_cpu_in_many_short_polls_is_counted(make: Make) -> None:
    async def soon(guest: Guest[Desk]) -> int:
        return 0

    guest = make(Limits(cpu_ms=5))
    await guest.start()
    guest.host.act = soon

    async def many_short_polls() -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            await guest.call("busy", 20_000)
            await guest.call("act_later")

    with pytest.raises(CpuBudgetSpent):
        await many_short_polls()


async def test_waiting_for_what_is_there_at_once_gives_way_too(make: Make) -> None:
    """Such a wait never returns to the event loop by itself."""
    guest = make(Limits(cpu_ms=30))
    await guest.start()
    guest.host.gate.set()
    turns, over = 0, False

    async def beside() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(beside())
    with pytest.raises(CpuBudgetSpent):
        await guest.call("wait_often", 100_000_000)
    over = True
    await other
    assert turns >= 10


async def test_the_deadline_ends_a_wait(make: Make) -> None:
    guest = make(Limits(wall_ms=50))
    await guest.start()
    began = time.monotonic()
    with pytest.raises(DeadlinePassed, match="longer than 50 ms"):
        await guest.call("wait", 1)
    assert 0.04 < time.monotonic() - began < 0.5
    assert guest.host.cancelled == 1
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_deadline_ends_a_guest_that_spins(make: Make) -> None:
    guest = make(Limits(cpu_ms=60_000, wall_ms=60))
    await guest.start()
    with pytest.raises(DeadlinePassed):
        await guest.call("spin")


async def test_the_deadline_holds_when_a_host_function_swallows_its_cancellation(make: Make) -> None:
    async def stubborn(guest: Guest[Desk]) -> int:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return 1
        return 2

    guest = make(Limits(wall_ms=40))
    await guest.start()
    guest.host.act = stubborn
    with pytest.raises(DeadlinePassed):
        await guest.call("act_later")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_deadline_does_not_disturb_a_task_that_does_something_else(make: Make) -> None:
    guest = make(Limits(wall_ms=30))
    await guest.start()
    guest.host.gate.set()
    assert await guest.call("wait", 1) == (2,)
    await asyncio.sleep(0.1)
    with pytest.raises(DeadlinePassed):
        await guest.call("wait", 1)


async def test_cancelling_the_task_cancels_the_wait_and_frees_the_guest(make: Make, engine: Engine) -> None:
    live = engine.live
    guest = make()
    task = asyncio.create_task(guest.run("_start"))
    await task
    guest.close()
    guest = make()
    await guest.start()
    task2 = asyncio.create_task(guest.call("wait", 1))
    await asyncio.sleep(0.01)
    task2.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task2
    assert guest.host.cancelled == 1
    assert engine.live == live


async def test_a_cancellation_that_meets_the_deadline_wins(make: Make) -> None:
    guest = make(Limits(wall_ms=30))
    await guest.start()
    task = asyncio.create_task(guest.call("wait", 1))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.03, task.cancel)
    with pytest.raises((asyncio.CancelledError, DeadlinePassed)):
        await task


async def test_cancelling_a_guest_that_spins(make: Make) -> None:
    guest = make(Limits(cpu_ms=60_000))
    await guest.start()
    task = asyncio.create_task(guest.call("spin"))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_memory_stops_growing_at_its_limit(make: Make) -> None:
    guest = make(Limits(memory=Size(4 << 16)))
    await guest.start()
    assert await guest.call("grow", 3) == (1,)
    assert await guest.call("grow", 1) == (2**32 - 1,)
    guest.close()
    assert guest.figures.memory_peak == 4 << 16


async def test_a_program_that_begins_larger_than_its_limit_is_refused(make: Make) -> None:
    guest = make(Limits(memory=Size(1000)))
    with pytest.raises(LimitExceeded, match="begins with 65,536 bytes of memory"):
        await guest.run()


async def test_a_table_larger_than_its_limit_is_refused(load: Callable[..., Program], make: Make) -> None:
    other = load('(module (table 500 funcref) (func (export "_start")))')
    with pytest.raises(LimitExceeded, match="a table of 500 elements"):
        await make(Limits(table_elements=100), other).run()


async def test_a_table_stops_growing_at_its_limit(load: Callable[..., Program], make: Make) -> None:
    other = load(
        """(module (table 10 funcref)
             (func (export "grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"""
    )
    guest = make(Limits(table_elements=100), other)
    await guest.start()
    assert await guest.call("grow", 90) == (10,)
    assert await guest.call("grow", 1) == (2**32 - 1,)


async def test_a_trap_after_memory_ran_out_says_so(load: Callable[..., Program], make: Make) -> None:
    other = load(
        """(module (memory (export "memory") 1)
             (func (export "_start") (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
               (unreachable)))"""
    )
    with pytest.raises(GuestTrap) as caught:
        await make(Limits(memory=Size(4 << 20)), other).run()
    assert "its memory had grown to 4 MiB of the 4 that it may have" in (caught.value.cause or "")


# --- start functions and libraries --------------------------------------------------------------------------


async def test_a_start_function_runs_under_the_same_limits(load: Callable[..., Program], make: Make) -> None:
    spins = load('(module (func $spin (loop $l (br $l))) (start $spin) (func (export "_start")))')
    with pytest.raises(CpuBudgetSpent):
        await make(Limits(cpu_ms=15), spins).run()


async def test_a_start_function_may_wait_and_exit(load: Callable[..., Program], make: Make) -> None:
    other = load(
        """(module (import "host" "double_later" (func $later (param i32) (result i32)))
             (import "host" "leave" (func $leave (param i32)))
             (func $init (call $leave (call $later (i32.const 2)))) (start $init)
             (func (export "_initialize") (unreachable))
             (func (export "_start") (unreachable)))"""
    )
    guest = make(None, other)
    guest.host.gate.set()
    with pytest.raises(GuestExit, match="status 4"):
        await guest.run()


async def test_a_library_is_initialized_before_its_export_is_called(
    load: Callable[..., Program], make: Make
) -> None:
    other = load(
        """(module (import "host" "add" (func $add (param i32 i32) (result i32)))
             (func (export "_initialize") (drop (call $add (i32.const 1) (i32.const 1))))
             (func (export "handle") (drop (call $add (i32.const 2) (i32.const 2)))))"""
    )
    guest = make(None, other)
    await guest.run("handle")
    assert guest.host.seen == [(1, 1), (2, 2)]


# --- wrong use ----------------------------------------------------------------------------------------------


async def test_an_export_that_does_not_exist(make: Make) -> None:
    guest = make()
    await guest.start()
    with pytest.raises(ProgramError, match="exports no function 'nothing'"):
        await guest.call("nothing")
    with pytest.raises(TypeError, match="takes"):
        await guest.call("sum", 1)


async def test_a_guest_cannot_be_run_or_closed_from_inside_a_host_function(make: Make) -> None:
    other = make()

    def run_another(guest: Guest[Desk]) -> int:
        coroutine = other.start()
        with pytest.raises(NodeError, match="from inside a host function"):
            coroutine.send(None)
        with pytest.raises(NodeError, match="from inside its own host function"):
            guest.close()
        return 5

    guest = make()
    await guest.start()
    guest.host.act = run_another
    assert await guest.call("act") == (5,)


async def test_another_guest_closed_from_a_host_function_is_closed_later(make: Make, engine: Engine) -> None:
    other = make()
    await other.start()
    waiting = asyncio.create_task(other.call("wait", 1))
    await asyncio.sleep(0)

    def close_other(guest: Guest[Desk]) -> int:
        waiting.cancel()
        other.close()
        return 1

    guest = make()
    await guest.start()
    live = engine.live
    guest.host.act = close_other
    assert await guest.call("act") == (1,)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await make().start()
    assert engine.live == live


async def test_closing_twice_and_closing_a_suspended_guest(make: Make, engine: Engine) -> None:
    guest = make()
    await guest.start()
    task = asyncio.create_task(guest.call("wait", 1))
    await asyncio.sleep(0)
    task.cancel()
    guest.close()
    guest.close()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_forgotten_guest_is_freed(program: Program, engine: Engine) -> None:
    live = engine.live
    guest = Guest(program, Limits(), Desk())
    await guest.start()
    assert engine.live == live + 1
    del guest
    gc.collect()
    assert engine.live == live


async def test_a_guest_forgotten_during_another_ones_call_is_freed_later(
    make: Make, program: Program, engine: Engine
) -> None:
    forgotten = [Guest(program, Limits(), Desk())]
    await forgotten[0].start()
    live = engine.live

    def forget(guest: Guest[Desk]) -> int:
        forgotten.clear()
        gc.collect()
        return engine.live - live

    guest = make()
    await guest.start()
    guest.host.act = forget
    assert await guest.call("act") == (1,)
    await make().start()
    assert engine.live == live + 1


async def test_figures(make: Make) -> None:
    guest = make()
    await guest.run()
    guest.close()
    figures = guest.figures
    assert figures.host_calls == 1
    assert figures.memory_peak == 65536
    assert 0 < figures.cpu_ns < figures.wall_ns
    assert figures.waited_ns == figures.inference_ns == 0
