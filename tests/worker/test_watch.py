"""The watch: ends runs that are pointless or overdue, and has the kernel end what does not listen."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from wasmind.worker.watch import FAULT, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator


class Execution:
    aborted = 0

    def abort(self) -> bool:
        self.aborted += 1
        return True


class Runner:
    """As much of a runner as the watch looks at."""

    def __init__(self, pointless: bool = False) -> None:
        self.calls: list[object] | None = None
        self.started = 0
        self.aborted: object = None
        self.pointless = pointless
        self.execution = Execution()

    def begin(self) -> None:
        self.started = time.monotonic_ns()
        self.calls = [object()]

    def is_pointless(self, now: int) -> bool:
        return self.pointless


@pytest.fixture(autouse=True)
def timer() -> Iterator[None]:
    """SIGALRM is caught while a test runs, and the timer is off afterwards."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def watch(*runners: Runner, limit_ms: float = 10_000, read: list[int] | None = None) -> Watch:
    reads = read if read is not None else []
    return Watch(runners, limit_ms, lambda: reads.append(1))  # type: ignore[arg-type]


def test_a_run_that_is_wanted_is_left_alone() -> None:
    runner = Runner()
    runner.begin()
    assert watch(runner)._look(time.monotonic_ns())
    assert runner.execution.aborted == 0
    assert runner.aborted is None


def test_a_run_that_nobody_waits_for_is_ended() -> None:
    runner = Runner(pointless=True)
    made = watch(runner)
    assert not made._look(time.monotonic_ns())
    runner.begin()
    made._look(time.monotonic_ns())
    assert runner.execution.aborted == 1


def test_a_run_over_its_limit_is_ended_and_marked() -> None:
    runner = Runner()
    runner.begin()
    made = watch(runner, limit_ms=50)
    made._look(runner.started + 40_000_000)
    assert (runner.aborted, runner.execution.aborted) == (None, 0)
    made._look(runner.started + 51_000_000)
    assert (runner.aborted, runner.execution.aborted) == (runner.calls, 1)


def test_the_kernels_timer_follows_the_oldest_run() -> None:
    old, new = Runner(), Runner()
    old.begin()
    old.started -= 5_000_000_000
    new.begin()
    made = watch(old, new, limit_ms=10_000)
    made._look(time.monotonic_ns())
    assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(6.0, abs=0.3)
    old.calls = None
    made._look(time.monotonic_ns())
    assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(11.0, abs=0.3)
    new.calls = None
    made._look(time.monotonic_ns())
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def test_it_reads_frames_only_while_it_is_awake_and_sleeps_when_nothing_runs() -> None:
    reads: list[int] = []
    runner = Runner()
    made = watch(runner, read=reads)
    made.start()
    assert made.asleep
    time.sleep(0.1)
    assert reads == []
    runner.begin()
    made.wake()
    time.sleep(0.2)
    assert 2 < len(reads) < 30
    runner.calls = None
    time.sleep(1.3)
    assert made.asleep
    count = len(reads)
    time.sleep(0.1)
    assert len(reads) == count


def test_a_process_stuck_in_native_code_is_ended_by_the_kernel() -> None:
    """The framework never looks at its flag here: the worker's own threads cannot help."""
    script = """
import ctypes, time
from wasmind.worker.watch import FAULT, Watch
class Execution:
    def abort(self): return False
class Runner:
    calls = [1]; started = time.monotonic_ns(); aborted = None; execution = Execution()
    def is_pointless(self, now): return False
watch = Watch([Runner()], 100, lambda: None)
watch.start()
watch.wake()
time.sleep(0.1)
ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock
"""
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=30, capture_output=True)
    assert ended.returncode == -signal.SIGALRM, ended.stderr
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("where", ["runner", "watch"])
def test_a_fault_of_the_worker_ends_it_with_words(where: str) -> None:
    """A thread that dies alone would leave its calls waiting for ever."""
    script = f"""
import socket, threading, time
from wasmind.worker.batcher import Line
from wasmind.worker.server import Server
listener, control = socket.socketpair(), socket.socketpair()
class Runner:
    calls = None
    def __getattribute__(self, name):
        if {where!r} == "watch" and name == "calls":
            raise KeyError("nobody foresaw this")
        return object.__getattribute__(self, name)
    def run(self, calls):
        raise KeyError("nobody foresaw this")
server = Server(listener[0], control[0], [Runner()], Line(), largest=1, run_limit_ms=1000)
server.prepare()
if {where!r} == "runner":
    server._queue.add(type("Call", (), {{"left": False}})())
else:
    server._watch.wake()
server.serve()
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=30, capture_output=True)
    assert ended.returncode == FAULT, ended.stderr
    assert b"nobody foresaw this" in ended.stderr
