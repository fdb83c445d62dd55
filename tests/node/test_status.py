"""The status socket: commands in, the node's status or its refusal out, also to clients that misbehave."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from wasmind.errors import ConfigError, NodeError
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.node.client import ask, ask_async
from wasmind.node.state import connect_to_status, listen_on_status
from wasmind.node.status import EdgeStatus, ModelStatus, NodeStatus, Request, StatusServer, decode_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STATUS = NodeStatus(
    version="1",
    pid=7,
    phase="ready",
    started=1.5,
    generation=2,
    config="wasmind.toml",
    dev=False,
    functions_url="http://f",
    api_url="http://a",
    edges=(EdgeStatus(index=0, pid=8, state="serving", requests=9),),
    models=(
        ModelStatus(
            id="shared/m@0",
            name="m",
            scope="shared",
            digest="0",
            state="ready",
            encoding="onnx",
            runtime="onnx",
            signature=Signature((TensorSpec("x", TensorType.F32, ("N", 4)),), ()),
        ),
    ),
)


@asynccontextmanager
async def server(state: Path) -> AsyncIterator[list[Request]]:
    """A status server that takes down what it is asked; a reload is refused."""
    asked: list[Request] = []

    async def act(request: Request) -> NodeStatus:
        asked.append(request)
        if request.command == "reload":
            raise ConfigError("no", cause="why", remedy="what")
        if request.command == "drain":
            await asyncio.sleep(60)
        return STATUS

    running = StatusServer(act)
    await running.start(listen_on_status(state))
    yield asked
    await running.close()


async def test_a_status_arrives_as_it_was_sent(tmp_path: Path) -> None:
    async with server(tmp_path) as asked:
        assert await ask_async(tmp_path, "status") == STATUS
        assert await asyncio.to_thread(ask, tmp_path, "status") == STATUS
        await ask_async(tmp_path, "load", model="net@3")
        await asyncio.to_thread(ask, tmp_path, "unload", model="net:stable")
        assert [(request.command, request.model) for request in asked] == [
            ("status", None),
            ("status", None),
            ("load", "net@3"),
            ("unload", "net:stable"),
        ]


async def test_a_refusal_is_the_nodes_own_error(tmp_path: Path) -> None:
    async with server(tmp_path):
        with pytest.raises(ConfigError) as refused:
            await ask_async(tmp_path, "reload")
    assert refused.value.as_dict() == {
        "code": "config-invalid",
        "message": "no",
        "cause": "why",
        "remedy": "what",
    }


async def test_a_node_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async with server(tmp_path):
        with pytest.raises(NodeError, match=r"within 0\.1 s"):
            await ask_async(tmp_path, "drain", timeout=0.1)
        with pytest.raises(NodeError, match=r"within 0\.1 s"):
            await asyncio.to_thread(ask, tmp_path, "drain", 0.1)


async def test_a_node_that_ends_meanwhile_is_told(tmp_path: Path) -> None:
    listener = listen_on_status(tmp_path)
    asking = asyncio.create_task(ask_async(tmp_path, "status"))
    await asyncio.sleep(0.05)
    listener.accept()[0].close()
    listener.close()
    with pytest.raises(NodeError, match="ended before it answered"):
        await asking


async def test_nonsense_is_answered_and_the_next_client_is_served(tmp_path: Path) -> None:
    async with server(tmp_path) as asked:
        for line in (b"nonsense\n", b'{"command": "explode"}\n', b"x" * 200_000 + b"\n", b"cut short"):
            reader, writer = await asyncio.open_unix_connection(sock=connect_to_status(tmp_path))
            writer.write(line)
            writer.write_eof()
            answer = await reader.readline()
            if answer:
                with pytest.raises(NodeError, match="cannot be read"):
                    decode_answer(answer)
            writer.close()
        assert await ask_async(tmp_path, "status") == STATUS
        assert asked == [Request("status")]


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"status": {"pid": "x"}}'])
def test_an_answer_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(NodeError):
        decode_answer(line)


def test_the_status_is_plain_json() -> None:
    document = msgspec.json.decode(msgspec.json.encode(STATUS))
    assert document["models"][0]["signature"]["inputs"][0] == {"name": "x", "type": "f32", "dims": ["N", 4]}
