"""A hundred thousand requests: every one is answered, and memory and descriptors do not grow."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from support.nodes import CONFIG, NodeProcess, children, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

REQUESTS = 100_000
SETTLED = 20_000
CROWD = 400
"""Clients at once, more than the pool of sandboxes has warm slots: it has touched them all after that, and
allocators have their size.
"""
CLIENTS = 16
GROWTH_KIB = 8 << 10
"""What a process may still grow: slack of allocators. A leak of 200 bytes a request would show."""
PATH = "/ask/linear"
ANSWER = b"3 5 7 9 \n"


def memory_kib(pid: int) -> int:
    """Private resident memory: what is shared with the model's process is the model's."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private"))


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def client(port: int, count: int) -> int:
    """Ask `count` times over one connection; returns how many answers were right."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request, right = f"GET {PATH} HTTP/1.1\r\nHost: soak\r\n\r\n".encode(), 0
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        right += head.startswith(b"HTTP/1.1 200") and await reader.readexactly(length) == ANSWER
    writer.close()
    await writer.wait_closed()
    return right


async def load(port: int, requests: int, clients: int) -> int:
    return sum(await asyncio.gather(*(client(port, requests // clients) for _ in range(clients))))


def processes(node: NodeProcess) -> dict[str, int]:
    """The processes that a request passes, and their supervisor."""
    pid = node.process.pid
    (edge,), (model,) = children(pid, "wasmind.edge"), children(pid, "wasmind.worker")
    return {"supervisor": pid, "edge": edge, "model": model}


@pytest.mark.skipif(os.geteuid() != 0, reason="a confined process shows its memory to root alone")
async def test_a_hundred_thousand_inferences_leave_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as node:
        port = urlsplit(node.status().functions_url).port
        assert port is not None
        assert node.get(PATH).body == ANSWER
        right = await load(port, SETTLED, CROWD)
        parts = processes(node)
        before = {name: (memory_kib(pid), descriptors(pid)) for name, pid in parts.items()}
        right += await load(port, REQUESTS - SETTLED, CLIENTS)
        assert processes(node) == parts, "a process was replaced"
        after = {name: (memory_kib(pid), descriptors(pid)) for name, pid in parts.items()}
    assert right == REQUESTS
    for name in parts:
        assert after[name][0] - before[name][0] < GROWTH_KIB, (name, before, after)
        assert after[name][1] == before[name][1], (name, before, after)
