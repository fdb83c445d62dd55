"""What an edge worker and a model worker say to each other, over a Unix stream socket.

A frame is a 4-byte little-endian length and one MessagePack array whose first element tells the message. The
edge begins with `Hello`, which carries the descriptor of its arena (SCM_RIGHTS), and is answered by
`Welcome`. Then each `Infer` is answered by exactly one `Done`, `Failed` or `More`; a `More` is followed by
`Fetch` and its `Done`, or by `Cancel`. A `Cancel` of a call that is not yet answered is answered by `Failed`
with the code `cancelled`.

An `Infer` may belong to a generation, an inference that goes step by step: the first one with its number has
the inputs, those after it have none, and each gives the outputs of one step. The worker keeps its state until
a `Forget`, or the connection's end.

Large tensors lie in the arena and the frame says where; small ones travel inline. The edge alone decides
which bytes of the arena a call may use, and it never takes an offset from the worker: a `Done` says only "in
its place".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from wasmind.nn.tensor import MAX_RANK

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 2

INLINE = 4096
"""Tensors of at most this many bytes travel inline."""

MAX_INLINE = 64 << 10
"""The inline bytes of one call, all its inputs or all its outputs together."""

MAX_FRAME = 1 << 20
"""The largest frame, in bytes. No call that keeps to the limits below comes near it."""

MAX_TENSORS = 1024
"""Inputs or outputs of one call."""

CANCELLED = "cancelled"

_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Dims = Annotated[tuple[_Count, ...], msgspec.Meta(max_length=MAX_RANK)]
_Shapes = Annotated[tuple[_Dims, ...], msgspec.Meta(max_length=MAX_TENSORS)]
_Inline = Annotated[bytes, msgspec.Meta(max_length=MAX_INLINE)]
_Words = Annotated[str, msgspec.Meta(max_length=32 << 10)]


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A frame, or a part of one."""


class Place(Message, frozen=True):
    """Where an output may be written: so many bytes of the arena."""

    offset: _Count
    length: _Count


_Places = Annotated[tuple[Place | None, ...], msgspec.Meta(max_length=MAX_TENSORS)]


# --- edge → worker --------------------------------------------------------------------------------------


class Hello(Message, frozen=True, tag=0):
    """Sent once, first, with the arena's descriptor beside it."""

    version: _Count
    arena: _Count
    """The arena's size in bytes."""


class Infer(Message, frozen=True, tag=1):
    """One inference. The types of its inputs are the signature's."""

    call: _Count
    """Chosen by the edge, and never used twice on a connection."""
    deadline: _Count
    """Nanoseconds of CLOCK_MONOTONIC, which both processes share."""
    dims: _Shapes
    data: Annotated[tuple[_Inline | _Count, ...], msgspec.Meta(max_length=MAX_TENSORS)]
    """For each input its bytes, or where in the arena they are."""
    places: _Places = ()
    """For each output where it may be written; None where its size is not known, or it travels inline. Empty
    where all are None."""
    generation: _Count = 0
    """Which one this is a step of, by a number that the edge never uses twice; 0 for a whole inference."""


class Fetch(Message, frozen=True, tag=2):
    """The places for the outputs of a call that was answered by `More`."""

    call: _Count
    places: _Places


class Cancel(Message, frozen=True, tag=3):
    """Nobody waits for this call any more."""

    call: _Count


class Forget(Message, frozen=True, tag=4):
    """No more steps of this generation are wanted. Sent after the `Cancel` of its step under way."""

    generation: _Count


ToWorker: TypeAlias = Hello | Infer | Fetch | Cancel | Forget


# --- worker → edge --------------------------------------------------------------------------------------


class Welcome(Message, frozen=True, tag=0):
    """The worker serves this connection."""

    version: _Count
    lanes: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    """How many calls it may run at the same time: its instances times its largest batch."""


class Done(Message, frozen=True, tag=1):
    """The outputs of a call, with the time it waited in the worker and the time its batch ran."""

    call: _Count
    dims: _Shapes
    data: Annotated[tuple[_Inline | None, ...], msgspec.Meta(max_length=MAX_TENSORS)]
    """For each output its bytes, or None: they are in the place that the edge chose."""
    queue_ns: _Count
    compute_ns: _Count
    batch: _Count
    """How many calls ran together."""


class Failed(Message, frozen=True, tag=2):
    """A call that gave no outputs. `code` is that of an error in wasmind.errors, or `cancelled`."""

    call: _Count
    code: Annotated[str, msgspec.Meta(max_length=64)]
    message: _Words
    cause: _Words | None = None
    remedy: _Words | None = None


class More(Message, frozen=True, tag=3):
    """The outputs are ready and need so many bytes each; 0 for one that travels inline."""

    call: _Count
    lengths: Annotated[tuple[_Count, ...], msgspec.Meta(max_length=MAX_TENSORS)]


ToEdge: TypeAlias = Welcome | Done | Failed | More


# --- frames ---------------------------------------------------------------------------------------------

_HEAD = 4
_read_length = struct.Struct("<I").unpack_from
_encoder = msgspec.msgpack.Encoder()
decode_to_worker: Callable[[bytes | bytearray | memoryview], ToWorker] = msgspec.msgpack.Decoder(
    ToWorker
).decode
"""Read a frame's body in the worker. Raises msgspec.MsgspecError, UnicodeDecodeError."""
decode_to_edge: Callable[[bytes | bytearray | memoryview], ToEdge] = msgspec.msgpack.Decoder(ToEdge).decode
"""Read a frame's body, which may hold anything, in the edge. Raises as above."""


class FrameTooLargeError(ValueError):
    """A frame announces more bytes than a frame may have."""


def encode(message: ToWorker | ToEdge) -> bytes:
    """A message as one frame, its length before it."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_HEAD, "little") + body


class Frames:
    """Cuts a stream into frames' bodies. Holds at most one incomplete frame of at most MAX_FRAME bytes."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that `data` completes. Raises FrameTooLargeError; the stream is of no use after it."""
        if self._rest:
            data = self._rest + data
        elif _HEAD <= len(data) <= MAX_FRAME and _read_length(data)[0] == len(data) - _HEAD:
            return [data[_HEAD:]]  # the common case: one frame, whole
        bodies = []
        position, end = 0, len(data)
        while end - position >= _HEAD:
            (length,) = _read_length(data, position)
            if length > MAX_FRAME:
                raise FrameTooLargeError(f"a frame of {length} bytes; at most {MAX_FRAME} are allowed")
            position += _HEAD
            if end - position < length:
                position -= _HEAD
                break
            bodies.append(data[position : position + length])
            position += length
        self._rest = data[position:]
        return bodies
