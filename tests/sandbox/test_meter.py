from __future__ import annotations

import time

from wasmind.sandbox.meter import Meter


def test_time_that_the_thread_did_not_use_is_not_charged() -> None:
    meter = Meter()
    meter.mark()
    began = time.perf_counter_ns()
    time.sleep(0.05)
    assert meter.charge(time.perf_counter_ns() - began) < 20_000_000


def test_time_that_it_used_is_charged() -> None:
    meter = Meter()
    meter.mark()
    began, until = time.perf_counter_ns(), time.thread_time_ns() + 20_000_000
    while time.thread_time_ns() < until:
        pass
    assert meter.charge(time.perf_counter_ns() - began) >= 20_000_000
    assert meter.charge(5) == 5
