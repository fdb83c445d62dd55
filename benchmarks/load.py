"""Load on one URL: `wrk` where it is installed, else an asyncio client of our own that speaks plain HTTP/1.1.

Rates of the two differ, so a report compares only what the same generator measured in the same run.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT = """
wrk.method = {method}
wrk.body = {body}
{headers}
done = function(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %d %d %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), failed))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of load saw."""

    rate: float
    """Requests per second."""
    p50_ms: float
    p99_ms: float
    failed: int


def generator() -> str:
    """The name of the load generator in use."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def load(
    url: str,
    *,
    connections: int,
    seconds: float,
    body: bytes = b"",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Load:
    """Load `url` from another process with `connections` connections for `seconds`."""
    return (_wrk if generator() == "wrk" else _own)(url, connections, seconds, body, headers)


def _wrk(url: str, connections: int, seconds: float, body: bytes, headers: Mapping[str, str]) -> Load:
    quoted = '"' + "".join(f"\\{byte:03d}" for byte in body) + '"'
    script = _SCRIPT.format(
        method='"POST"' if body else '"GET"',
        body=quoted if body else "nil",
        headers="\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()),
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        # Slow is not failed, and the percentiles tell it: wrk would count what takes two seconds.
        patience = ["--timeout", "30s"]
        length = f"-d{max(1, round(seconds))}s"
        command = ["wrk", "-t1", f"-c{connections}", length, *patience, "-s", file.name, url]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", printed)
    if not found:
        raise RuntimeError(f"wrk printed no result:\n{printed}")
    count, micros, p50, p99, failed = (float(value) for value in found.groups())
    return Load(count / micros * 1e6, p50 / 1000, p99 / 1000, int(failed))


def _own(url: str, connections: int, seconds: float, body: bytes, headers: Mapping[str, str]) -> Load:
    with tempfile.NamedTemporaryFile("wb") as file:
        file.write(body)
        file.flush()
        words = [sys.executable, __file__, url, str(connections), str(seconds), file.name]
        words.append(json.dumps(dict(headers)))
        return Load(**json.loads(subprocess.run(words, check=True, capture_output=True).stdout))


async def _connection(
    url: str, until: float, body: bytes, headers: Mapping[str, str], times: list[float]
) -> int:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    method, path = ("POST" if body else "GET"), parts.path or "/"
    sent = {"Host": parts.netloc, "Content-Length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    request, failed = "\r\n".join(lines).encode() + body, 0
    while (started := time.perf_counter()) < until:
        writer.write(request)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", answer)
        if length:
            await reader.readexactly(int(length[1]))
        else:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        failed += not answer.startswith((b"http/1.1 2", b"http/1.1 3"))
        times.append(time.perf_counter() - started)
    writer.close()
    return failed


async def _main(url: str, connections: int, seconds: float, body: bytes, headers: Mapping[str, str]) -> Load:
    times: list[float] = []
    started = time.perf_counter()
    runs = [_connection(url, started + seconds, body, headers, times) for _ in range(connections)]
    failed = sum(await asyncio.gather(*runs))
    elapsed = time.perf_counter() - started
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    return Load(len(times) / elapsed, p50, p99, failed)


if __name__ == "__main__":
    _url, _connections, _seconds, _file, _headers = sys.argv[1:]
    _body = Path(_file).read_bytes()
    _found = asyncio.run(_main(_url, int(_connections), float(_seconds), _body, json.loads(_headers)))
    print(json.dumps(asdict(_found)))
