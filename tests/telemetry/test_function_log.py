"""A guest's stderr: lines become records, and no guest can flood or forge a log."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.telemetry import logs
from wasmind.telemetry.function_log import MAX_LINE, FunctionLog, LogBudget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Reader = Callable[[], list[dict[str, Any]]]


class Recorder:
    """Keeps records in memory."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.records.append((event, fields))

    warning = info


def test_lines_become_records_with_function_and_request(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    log = FunctionLog(logs.configure("json", fd=fd), "classify", "r-1", LogBudget())
    log.write(b"first\nsec")
    log.write(b"ond\n\xff\x1b[2Jlast")
    log.close()
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [record["event"] for record in records] == ["first", "second", r"\xff\e[2Jlast"]
    assert all(record["function"] == "classify" and record["request_id"] == "r-1" for record in records)
    assert all(record["stream"] == "stderr" for record in records)
    os.close(fd)


@given(st.lists(st.binary(max_size=50)))
def test_how_writes_are_cut_does_not_matter(pieces: list[bytes]) -> None:
    whole, cut = Recorder(), Recorder()
    for recorder, writes in ((whole, [b"".join(pieces)]), (cut, pieces)):
        log = FunctionLog(recorder, "f", "r", LogBudget())  # type: ignore[arg-type]
        for write in writes:
            log.write(write)
        log.close()
    assert whole.records == cut.records


def test_a_line_without_end_is_cut_and_a_request_is_capped() -> None:
    recorder = Recorder()
    log = FunctionLog(recorder, "f", "r", LogBudget(), limit=3 * MAX_LINE)  # type: ignore[arg-type]
    for _ in range(100):
        log.write(b"x" * 1000)
    log.close()
    *lines, (event, fields) = recorder.records
    assert [len(text) for text, _ in lines] == [MAX_LINE] * 3
    assert event == "log cut short"
    assert fields["dropped_bytes"] == 100_000 - 3 * MAX_LINE


def test_a_function_is_capped_over_its_requests_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("wasmind.telemetry.function_log.monotonic", lambda: now)
    budget = LogBudget(rate=100, burst=250)
    recorder = Recorder()
    for _ in range(4):
        log = FunctionLog(recorder, "f", "r", budget)  # type: ignore[arg-type]
        log.write(b"y" * 100 + b"\n")
        log.close()
    assert [event for event, _ in recorder.records] == ["y" * 100] * 2 + ["log cut short"] * 2
    now = 1.0
    assert budget.take(150)
    assert not budget.take(1)
