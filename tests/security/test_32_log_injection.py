"""Row 32: ANSI, newlines and floods in a function's log are escaped and capped."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from wasmind.telemetry import logs
from wasmind.telemetry.function_log import FunctionLog, LogBudget

if TYPE_CHECKING:
    from pathlib import Path


def test_a_guest_cannot_forge_a_record_nor_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    logger = logs.configure("json", fd=fd)
    budget = LogBudget(rate=0, burst=1 << 20)
    forged = b'{"event": "model ready", "level": "info"}\r\x1b[1A\x1b[2K'
    for request in range(100):
        log = FunctionLog(logger, "evil", str(request), budget)
        for _ in range(1000):
            log.write(forged + b"\n" + b"A" * 1000)
        log.close()
    os.close(fd)
    assert path.stat().st_size < 8 << 20
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert all(record["function"] == "evil" for record in records)
    assert not any("\x1b" in record["event"] or "\r" in record["event"] for record in records)
    assert records[-1]["dropped_bytes"] > 0
