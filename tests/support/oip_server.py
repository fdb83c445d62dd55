"""A small inference server by the Open Inference Protocol, as a process; it can also behave badly.

The model's name says how: `linear` answers y = 2x + 1, any other name of `MODES` fails in its own way.
Written from the protocol's text alone, so that it shares no mistake with the code under test.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW_S = 0.3
MODES = (
    "linear",
    "hang",
    "half",
    "garbage",
    "hangup",
    "busy",
    "away",
    "moved",
    "slow",
    "refuses",
    "lies",
    "flood",
)
SHAPE = [1, 4]
METADATA = {
    "name": "linear",
    "versions": ["1"],
    "platform": "test",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": SHAPE}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": SHAPE}],
}
JSON = {"content-type": "application/json"}


class Served:
    """The server's side of all connections."""

    def __init__(self, *, binary: bool, token: str | None) -> None:
        self.binary, self.token = binary, token
        self.counts: Counter[str] = Counter()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        try:
            while line := await reader.readline():
                _, path, _ = line.decode().split()
                headers = {}
                while (line := await reader.readline()).strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if not await self.answer(path, headers, body, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.counts["broken"] += 1
        finally:
            writer.close()

    async def answer(
        self,
        path: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Whether the connection goes on."""
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            return await send(writer, 401, {"error": "no token"})
        match path.strip("/").split("/"):
            case ["counts"]:
                return await send(writer, 200, dict(self.counts))
            case ["v2"]:
                extensions = ["binary_tensor_data"] if self.binary else []
                return await send(writer, 200, {"name": "test", "version": "1", "extensions": extensions})
            case ["v2", "models", mode] if mode in MODES:
                return await send(writer, 200, METADATA)
            case ["v2", "models", mode, "infer"] if mode in MODES:
                self.counts[mode] += 1
                return await self.infer(mode, headers, body, reader, writer)
        return await send(writer, 404, {"error": f"unknown: {path}"})

    async def infer(  # noqa: C901 - a case for each way to fail
        self,
        mode: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        match mode:
            case "hang":
                if not await reader.read(1):
                    self.counts["given up"] += 1
                return False
            case "half":
                writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"outputs": [')
                await writer.drain()
                return False
            case "garbage":
                return await send(writer, 200, b"\xff\x00 no json")
            case "hangup":
                return False
            case "busy":
                return await send(writer, 429, {"error": "queue is full"})
            case "away":
                return await send(writer, 503, {"error": "warming up"})
            case "moved":
                return await send(writer, 302, b"", location="http://169.254.169.254/")
            case "refuses":
                return await send(writer, 400, {"error": "unexpected shape for input 'x'"})
            case "lies":
                return await send(
                    writer, 200, {"outputs": [{"name": "y", "datatype": "FP32", "shape": [9], "data": [1]}]}
                )
            case "flood":
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                    await writer.drain()
            case "slow":
                await asyncio.sleep(SLOW_S)
        return await self.linear(headers, body, writer)

    async def linear(self, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        length = int(headers.get("inference-header-content-length", len(body)))
        request = json.loads(body[:length])
        (given,) = request["inputs"]
        raw = body[length:]
        x = struct.unpack(f"<{len(raw) // 4}f", raw) if raw else given["data"]
        self.counts["raw" if raw else "json"] += 1
        y = [2 * value + 1 for value in x]
        output: dict[str, Any] = {"name": "y", "datatype": "FP32", "shape": given["shape"]}
        answer = {"model_name": "linear", "model_version": "1", "outputs": [output]}
        if request.get("parameters", {}).get("binary_data_output"):
            output["parameters"] = {"binary_data_size": 4 * len(y)}
            head = json.dumps(answer).encode()
            named = {"inference_header_content_length": str(len(head))}
            return await send(writer, 200, head + struct.pack(f"<{len(y)}f", *y), **named)
        output["data"] = y
        return await send(writer, 200, answer)


async def send(writer: asyncio.StreamWriter, status: int, body: Any, **headers: str) -> bool:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Said", f"content-length: {len(data)}"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*head, "", ""]).encode() + data)
    await writer.drain()
    return True


async def serve(port: int, *, binary: bool, token: str | None) -> None:
    served = Served(binary=binary, token=token)
    server = await asyncio.start_server(served.connection, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    await server.serve_forever()


class OipServer:
    """The process."""

    def __init__(self, *, port: int = 0, binary: bool = True, token: str = "") -> None:
        command = [sys.executable, "-P", __file__, str(port), "binary" if binary else "json", token]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        with self.process.stdout as told:
            self.port = int(told.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counter[str]:
        """What it has seen: inferences by mode, connections, requests that were given up."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=5) as answer:
            return Counter(json.load(answer))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def oip_server(**settings: Any) -> Iterator[OipServer]:
    """A server that runs until the block ends."""
    server = OipServer(**settings)
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), binary=sys.argv[2] == "binary", token=sys.argv[3] or None))
