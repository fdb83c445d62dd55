"""What a node says of itself, and the requests it answers on `node.sock` in its state directory.

One JSON document per line each way. Whoever may open the socket (its owner) may steer the node.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from wasmind.catalog.card import ModelCard
from wasmind.errors import NodeError, WasmindError
from wasmind.nn.signature import Signature
from wasmind.node.words import Failure, State

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

Command: TypeAlias = Literal["status", "reload", "drain", "stop", "load", "unload"]
"""`status` only asks; `reload` is SIGHUP's; `drain` stops accepting, `stop` is SIGTERM's: drain, then end.
`load` answers once a model is in memory; `unload` takes it out of memory until `load`, or a reload."""
Phase: TypeAlias = Literal["starting", "ready", "draining"]


class Request(msgspec.Struct, frozen=True):
    """One line to the node."""

    command: Command
    model: str | None = None
    """Which model to load or unload: `name`, `name@3`, `name:stable` or its id."""


class EdgeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An edge worker."""

    index: int
    pid: int | None
    state: Literal["starting", "serving", "draining", "restarting"]
    generation: int = 0
    restarts: int = 0
    requests: int = 0
    running: int = 0
    guests: int = 0


class ConverterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A process that converts for a model that is served elsewhere."""

    side: Literal["inputs", "outputs"]
    """What it converts."""
    state: State
    reason: str | None = None
    pid: int | None = None
    restarts: int = 0
    memory: int | None = None


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A model and its process, or the servers that have it elsewhere."""

    id: str
    name: str
    version: int | None = None
    """None: its model has no versions."""
    names: tuple[str, ...] = ()
    """All that mean it by the operator's policy: `classifier`, `classifier@3`, `classifier:stable`."""
    scope: str
    digest: str
    state: State
    encoding: str
    runtime: str
    reason: str | None = None
    signature: Signature | None = None
    description: str = ""
    labels: int = 0
    """How many labels it has."""
    pid: int | None = None
    restarts: int = 0
    load_seconds: float | None = None
    memory: int | None = None
    """Bytes its process has resident, or its converters together."""
    servers: tuple[str, ...] = ()
    """Where it is served, if elsewhere."""
    converters: tuple[ConverterStatus, ...] = ()
    """What converts here, if it is served elsewhere."""
    functions: tuple[str, ...] = ()
    """Which functions may name it."""
    card: ModelCard | None = None
    """What people should know of it."""

    @property
    def title(self) -> str:
        """Its name, with the version where it has versions: `classifier@3`."""
        return self.name if self.version is None else f"{self.name}@{self.version}"


class FunctionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A function."""

    name: str
    tenant: str
    digest: str
    routes: tuple[str, ...]
    host: str | None
    methods: tuple[str, ...] | None
    models: tuple[str, ...]
    limits: dict[str, int | float]
    """As in `[functions.NAME.limits]`, sizes in bytes."""
    allow_load: bool


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole node."""

    version: str
    pid: int
    phase: Phase
    started: float
    """Unix time."""
    generation: int
    config: str | None
    dev: bool
    functions_url: str
    api_url: str
    inference_url: str | None = None
    """Where models are served by the Open Inference Protocol; None where nobody may call."""
    inference_grpc: str | None = None
    """The same by gRPC: HOST:PORT."""
    inference: tuple[EdgeStatus, ...] = ()
    edges: tuple[EdgeStatus, ...] = ()
    models: tuple[ModelStatus, ...] = ()
    functions: tuple[FunctionStatus, ...] = ()
    problems: tuple[str, ...] = ()
    """Why the node is not ready; empty when it is."""
    reload_failure: Failure | None = None
    """Why the last reload was refused; the configuration before it is in force."""
    notes: tuple[str, ...] = ()
    """What this machine lacks and what that costs."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line back."""

    status: NodeStatus | None = None
    failure: Failure | None = None


def encode_line(document: Request | Answer) -> bytes:
    """A document as one line."""
    return encode(document) + b"\n"


def encode(document: object) -> bytes:
    """A status, or a part of one, as JSON."""
    return msgspec.json.encode(document)


def decode_answer(line: bytes) -> NodeStatus:
    """Read the node's answer. Raises the node's own refusal, or NodeError."""
    try:
        answer = msgspec.json.decode(line, type=Answer)
    except msgspec.MsgspecError as error:
        raise NodeError("the node's answer cannot be read", cause=str(error)) from error
    if answer.failure:
        raise answer.failure.error()
    if not answer.status:
        raise NodeError("the node's answer is empty")
    return answer.status


class StatusServer:
    """Answers on the listening socket; `act` does what a request asks and tells how the node is."""

    def __init__(self, act: Callable[[Request], Awaitable[NodeStatus]]) -> None:
        self._act = act
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Begin to answer."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def close(self) -> None:
        """Answer no more."""
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(encode_line(await self._answer(line)))
                await writer.drain()
        except (ConnectionError, ValueError):
            return  # the client went away, or wrote an endless line
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
            return Answer(status=await self._act(request))
        except msgspec.MsgspecError as error:
            return Answer(failure=Failure.of(NodeError("the request cannot be read", cause=str(error))))
        except WasmindError as error:
            return Answer(failure=Failure.of(error))
