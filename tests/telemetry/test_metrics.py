"""Metrics: exact sums over processes, nothing lost when one dies, and cheap."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry, merged

if TYPE_CHECKING:
    from pathlib import Path


def samples(directory: Path) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(merged(directory).decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def dead_process() -> int:
    """The id of a process that has just ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_counters_gauges_and_histograms_reach_the_scraper(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.counter("wasmind_a", "A.", "function").of("f").value += 3
    registry.gauge("wasmind_b", "B.").of().value = 7
    seen = registry.histogram("wasmind_c_seconds", "C.", "function", bounds=(0.1, 1.0)).of("f")
    for value in (0.05, 0.1, 0.5, 3.0):
        seen.observe(value)
    registry.flush()
    found = samples(tmp_path)
    assert found["wasmind_a_total{function=f}"] == 3
    assert found["wasmind_b{}"] == 7
    assert found["wasmind_c_seconds_bucket{function=f,le=0.1}"] == 2
    assert found["wasmind_c_seconds_bucket{function=f,le=1.0}"] == 3
    assert found["wasmind_c_seconds_bucket{function=f,le=+Inf}"] == 4
    assert found["wasmind_c_seconds_count{function=f}"] == 4
    assert found["wasmind_c_seconds_sum{function=f}"] == pytest.approx(3.65)
    registry.close()


def test_a_flush_writes_only_what_changed_and_close_writes_the_rest(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    counter = registry.counter("wasmind_a", "A.").of()
    registry.flush()
    counter.value += 1
    assert samples(tmp_path)["wasmind_a_total{}"] == 0
    registry.close()
    assert samples(tmp_path)["wasmind_a_total{}"] == 1


@settings(max_examples=20)
@given(counts=st.lists(st.integers(0, 1000), min_size=1, max_size=5))
def test_the_sum_over_processes_is_exact(tmp_path_factory: pytest.TempPathFactory, counts: list[int]) -> None:
    directory = tmp_path_factory.mktemp("metrics")
    for index, count in enumerate(counts):
        # Process ids of this machine's first processes and our own: alive, so nothing is folded.
        registry = Registry(directory, os.getpid() if index == 0 else f"{os.getpid()}-{index}")  # type: ignore[arg-type]
        registry.counter("wasmind_a", "A.").of().value += count
        registry.close()
    assert samples(directory)["wasmind_a_total{}"] == sum(counts)


def test_a_dead_process_keeps_its_counts_loses_its_gauges_and_leaves_no_file(tmp_path: Path) -> None:
    for count in (1, 2):
        registry = Registry(tmp_path, dead_process())
        registry.counter("wasmind_a", "A.", "function").of("f").value += count
        registry.histogram("wasmind_c_seconds", "C.").of().observe(0.2)
        registry.gauge("wasmind_b", "B.").of().value = 9
        registry.close()
        for _ in range(2):  # folding twice counts nothing twice
            found = samples(tmp_path)
    assert found["wasmind_a_total{function=f}"] == 3
    assert found["wasmind_c_seconds_count{}"] == 2
    assert not any(name.startswith("wasmind_b") for name in found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_ended.db", "histogram_ended.db"]


def test_labels_are_checked(tmp_path: Path) -> None:
    family = Registry(tmp_path).counter("wasmind_a", "A.", "function", "status")
    with pytest.raises(ValueError, match="function"):
        family.of("f")
    assert family.of("f", "200") is family.of("f", "200")


def test_an_edges_figures_carry_their_names_and_units(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    figures = EdgeFigures(registry)
    function, model = figures.function("classify"), figures.model("digits", "shared")
    function.ended(200, 0.01, 0.002, 0.007, 1 << 20)
    function.ended(502, 0.02, 0.002, 0.0, 1 << 17)
    function.failed("guest-trap")
    model.ended("success", 0.006)
    model.split(0.001, 0.004, 3)
    figures.running.value += 1
    registry.close()
    found = samples(tmp_path)
    assert found["wasmind_requests_total{function=classify,status=200}"] == 1
    assert found["wasmind_requests_total{function=classify,status=502}"] == 1
    assert found["wasmind_request_failures_total{function=classify,reason=guest-trap}"] == 1
    assert found["wasmind_request_duration_seconds_sum{function=classify}"] == pytest.approx(0.03)
    assert found["wasmind_guest_memory_bytes_bucket{function=classify,le=262144.0}"] == 1
    assert found["wasmind_inferences_total{model=digits,outcome=success,scope=shared}"] == 1
    assert found["wasmind_inference_queue_seconds_sum{model=digits,scope=shared}"] == pytest.approx(0.001)
    assert found["wasmind_inference_compute_seconds_sum{model=digits,scope=shared}"] == pytest.approx(0.004)
    assert found["wasmind_requests_running{}"] == 1


def test_counting_a_request_costs_microseconds(tmp_path: Path) -> None:
    function = EdgeFigures(Registry(tmp_path)).function("f")
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(1000):
            function.ended(200, 0.003, 0.001, 0.002, 100_000)
        best = min(best, (time.perf_counter() - started) / 1000)
    assert best < 5e-6
