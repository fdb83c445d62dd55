from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from wasmind.edge.journal import Journal
from wasmind.errors import GuestTrap
from wasmind.telemetry import logs
from wasmind.telemetry.function_log import LogBudget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Log:
    """A log file, and its records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.logger = logs.configure("json", fd=self.fd)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "log")
    yield log
    os.close(log.fd)


def journal(log: Log, budget: LogBudget | None = None) -> Journal:
    return Journal(log.logger, "f", b"id-1", budget or LogBudget())


def test_what_the_guest_writes(log: Log) -> None:
    one = journal(log)
    one.write(b"first\nsec")
    one.write(b"ond")
    one.close()
    assert [(r["event"], r["stream"]) for r in log.records] == [("first", "stderr"), ("second", "stderr")]
    assert all((r["function"], r["request_id"]) == ("f", "id-1") for r in log.records)


def test_nothing_written_is_nothing_logged(log: Log) -> None:
    journal(log).close()
    assert log.records == []


def test_notes(log: Log) -> None:
    one = journal(log)
    one.note("no such model")
    one.close()
    (record,) = log.records
    assert (record["event"], record["stream"], record["request_id"]) == ("no such model", "wasmind", "id-1")


@pytest.mark.parametrize(("started", "event"), [(False, "request failed"), (True, "request cut")])
def test_a_failure_with_all_its_words(log: Log, started: bool, event: str) -> None:
    journal(log).failed(GuestTrap("it trapped", cause="unreachable", remedy="mend it"), started=started)
    (record,) = log.records
    assert (record["event"], record["level"], record["status"]) == (event, "warning", 502)
    assert (record["code"], record["error"]) == ("guest-trap", "it trapped")
    assert (record["cause"], record["remedy"]) == ("unreachable", "mend it")


def test_failures_and_notes_are_within_the_functions_budget(log: Log) -> None:
    budget = LogBudget(rate=0, burst=500)
    for _ in range(100):
        one = journal(log, budget)
        one.note("x" * 40)
        one.failed(GuestTrap("it trapped", cause="y" * 40), started=False)
        one.close()
    assert 0 < len(log.records) < 15
