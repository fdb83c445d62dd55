"""Row 32, through a worker: what guests and clients put into the log is escaped and capped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.edges import edge, function, snapshot
from support.http import ask, connected

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


async def test_a_guest_cannot_forge_records_nor_flood(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process:
        for _ in range(20):
            assert (await ask(process.port, path="/f/stderr?4000")).status == 200
        await process.drain()
        log = process.log()
    assert len(log) < 12 << 20, "20 requests wrote 4 MB and may log 1.3 MB"
    assert "\x1b" not in log
    assert "\r" not in log
    records = [json.loads(line) for line in log.splitlines()]
    assert {record["function"] for record in records} == {"f"}
    assert any(record["event"] == "\\e[31mred\\e[0m\\rforged" for record in records)
    assert any(record.get("dropped_bytes") for record in records)


async def test_a_client_cannot_forge_records(tmp_path: Path) -> None:
    async with edge(snapshot(function(), dev=True), tmp_path) as process:
        assert (await ask(process.port, path="/f/trap?%1b[31m%0aforged", X_Request_Id='a"b')).status == 502
        for forged in (b"GET /f/hello?\x1b[31m HTTP/1.1\r\nHost: h\r\n\r\n", b"\x1b[31m\r\n\r\n"):
            async with connected(process.port) as client:
                client.send(forged)
                assert (await client.answer()).status == 400
        await process.drain()
        lines = process.log().splitlines()
    assert len(lines) == 4, "the failure, and a line for each request"
    assert all(json.loads(line)["process"] == "edge 0" for line in lines)
    assert not any("\x1b" in line for line in lines)
