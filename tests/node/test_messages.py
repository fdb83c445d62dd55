"""The messages survive the wire, and what is no message is refused."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.config import Limits, Size
from wasmind.errors import ModelDied, NodeError
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.node import messages
from wasmind.node.channel import open_in_edge, open_in_supervisor

SIGNATURE = Signature(
    inputs=(TensorSpec("x", TensorType.F32, ("N", 3, None)), TensorSpec("y", TensorType.BF16, None)),
    outputs=(),
)
FUNCTION = messages.FunctionEntry(
    name="classify",
    tenant="default",
    digest="ab" * 32,
    artifact="/state/ab.cwasm",
    host="example.org",
    routes=("/classify", "/c/*"),
    methods=("GET",),
    limits=Limits(cpu_ms=7.5, memory=Size.parse("3MiB")),
    env={"A": "b"},
    args=("--fast",),
    grants={"classifier": "shared/classifier@0"},
    allow_load=True,
)
MODEL = messages.ModelEntry(
    id="shared/classifier@0",
    name="classifier",
    scope="shared",
    digest="0",
    socket="/run/m0",
    state="restarting",
    reason="killed by SIGKILL",
    incarnation=2,
    signature=SIGNATURE,
    labels=("cat", "dog"),
    deadline_ms=30.0,
    queue=4,
    shared_memory=1 << 20,
    when_down="fail",
    retry_at=1.5,
)
NODE = messages.NodeEntry(
    concurrency=10, drain_ms=1.0, header_timeout_ms=2.0, tick_ms=1.0, log="json", log_level="debug"
)
TO_EDGE = (
    messages.Start(index=1, listen_fd=9, host="::1", port=8080, state_dir="/s", run_dir="/r"),
    messages.Snapshot(generation=3, dev=True, node=NODE, functions=(FUNCTION,), models=(MODEL,)),
    messages.ModelState(model=MODEL),
    messages.LoadedModel(request=1, model=MODEL),
    messages.LoadedModel(request=2, failure=messages.Failure(code="model-load-failed", message="no")),
    messages.Drain(deadline_ms=5.0),
)
FROM_EDGE = (
    messages.Hello(pid=4),
    messages.Applied(generation=3),
    messages.Applied(generation=4, failure=messages.Failure(code="internal", message="m", cause="c")),
    messages.Listening(notes=("no pooling",)),
    messages.Released(generation=2),
    messages.LoadModel(
        request=1, function="f", tenant="t", digest="d", path="/s/d", encoding="onnx", target="cpu"
    ),
    messages.Stats(generation=1, requests=2, running=3, guests=4),
    messages.Drained(cut=1),
)


@pytest.mark.parametrize("message", TO_EDGE, ids=lambda m: type(m).__name__)
def test_what_the_supervisor_sends_arrives_unchanged(message: messages.ToEdge) -> None:
    frame = messages.encode(message)
    assert int.from_bytes(frame[:4], "little") == len(frame) - 4
    assert messages.decode_to_edge(frame[4:]) == message


@pytest.mark.parametrize("message", FROM_EDGE, ids=lambda m: type(m).__name__)
def test_what_an_edge_sends_arrives_unchanged(message: messages.FromEdge) -> None:
    assert messages.decode_from_edge(messages.encode(message)[4:]) == message


def test_sizes_stay_sizes() -> None:
    snapshot = messages.decode_to_edge(messages.encode(TO_EDGE[1])[4:])
    assert isinstance(snapshot, messages.Snapshot)
    assert isinstance(snapshot.functions[0].limits.memory, Size)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused(body: bytes) -> None:
    for decode in (messages.decode_to_edge, messages.decode_from_edge):
        with suppress(NodeError):
            assert isinstance(decode(body), messages.Message)


def test_a_message_for_the_other_side_is_refused() -> None:
    with pytest.raises(NodeError):
        messages.decode_from_edge(messages.encode(TO_EDGE[5])[4:])


def test_an_error_keeps_its_class_and_words_across_processes() -> None:
    error = messages.Failure.of(ModelDied("it died", cause="SIGSEGV", remedy="look")).error()
    assert type(error) is ModelDied
    assert (error.message, error.cause, error.remedy) == ("it died", "SIGSEGV", "look")
    assert type(messages.Failure(code="never-heard-of", message="m").error()) is NodeError


async def test_a_channel_carries_messages_both_ways_until_it_is_closed() -> None:
    ours, theirs = socket.socketpair()
    supervisor, edge = await open_in_supervisor(ours), await open_in_edge(theirs)
    for message in TO_EDGE:
        supervisor.send(message)
    for message in FROM_EDGE:
        edge.send(message)
    await supervisor.close()
    assert [message async for message in edge.messages()] == list(TO_EDGE)
    edge.send(FROM_EDGE[0])  # nobody reads it: dropped without an error
    await edge.close()


async def test_a_frame_cut_short_ends_the_stream() -> None:
    ours, theirs = socket.socketpair()
    edge = await open_in_edge(theirs)
    ours.sendall(messages.encode(TO_EDGE[5])[:-1])
    ours.close()
    assert [message async for message in edge.messages()] == []
    await edge.close()


async def test_an_enormous_frame_is_refused_before_it_is_read() -> None:
    ours, theirs = socket.socketpair()
    edge = await open_in_edge(theirs)
    ours.sendall((messages.MAX_FRAME + 1).to_bytes(4, "little"))
    with pytest.raises(NodeError, match="too large"):
        await asyncio.wait_for(anext(edge.messages()), 2)
    await edge.close()
    ours.close()
