"""One connection to a model's process: calls out, answers in, and nothing believed that was not checked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from wasmind.backends.leases import ProcessOutputs, SharedLease, Space
from wasmind.errors import InferenceTimeout, InvalidArgument, NnError, RuntimeFailed, TooLarge
from wasmind.nn.tensor import Tensor, byte_length
from wasmind.worker.wire import (
    INLINE,
    MAX_INLINE,
    VERSION,
    Answered,
    Cancel,
    Done,
    Failed,
    Fetch,
    Frames,
    Hello,
    Infer,
    More,
    Place,
    Sent,
    ToEdge,
    Welcome,
    decode_to_edge,
    encode,
)

if TYPE_CHECKING:
    from wasmind.nn.signature import Signature
    from wasmind.worker.shapes import Shapes

_KINDS: dict[str, type[NnError]] = {
    kind.code: kind for kind in (InferenceTimeout, InvalidArgument, RuntimeFailed, TooLarge)
}
_AHEAD_NS = 20_000_000
_MAX_WINDOW = 256
_REMEMBERED = 256


class Lie(Exception):
    """The worker sent what no worker of ours sends: it is broken or taken over."""


class Call:
    """One inference that somebody waits for."""

    __slots__ = (
        "deadline",
        "deadline_ns",
        "extents",
        "future",
        "gone",
        "inputs",
        "key",
        "leases",
        "link",
        "number",
        "places",
        "starved",
        "tenant",
        "timer",
    )

    def __init__(
        self, inputs: tuple[Tensor, ...], deadline_ns: int, tenant: str, future: asyncio.Future[Any]
    ) -> None:
        self.inputs = inputs
        self.deadline_ns = deadline_ns
        self.tenant = tenant
        self.future: asyncio.Future[ProcessOutputs] = future
        self.timer: asyncio.TimerHandle | None = None
        self.gone = False
        """Nobody waits any more. What it uses of the arena stays taken until the worker has answered."""
        self.starved = False
        """It waits because the arena is full."""
        self.link: Link | None = None
        self.number = 0
        self.key: tuple[tuple[int, ...], ...] = ()
        self.leases: list[SharedLease] = []
        self.extents: list[tuple[int, int]] = []
        self.places: list[Place | None] = []


class Owner(Protocol):
    """Who has a link."""

    def welcomed(self) -> None:
        """A process serves the connection."""

    def answered(self) -> None:
        """Answers came."""

    def freed(self) -> None:
        """Memory of the arena became free."""

    def lost(self, link: Link, lie: str | None) -> None:
        """The connection ended; `lie` is what the worker did wrong, if that is why."""


class Link(asyncio.Protocol):
    """A connection and its arena. When it is lost both are, and the backend makes another."""

    def __init__(self, signature: Signature, shapes: Shapes, size: int, owner: Owner) -> None:
        self.space = Space(size, owner.freed)
        self.calls: dict[int, Call] = {}
        self.window = 0
        """How many calls may be under way; none before the worker's welcome."""
        self._signature = signature
        self._shapes = shapes
        self._owner = owner
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._next = 0
        self._lanes = 1
        self._pace = 0.0
        self._lie: str | None = None
        self._seen: dict[tuple[tuple[int, ...], ...], tuple[int, ...]] = {}

    # --- the connection ------------------------------------------------------------------------------------------

    def hello(self) -> bytes:
        """The first frame, which goes with the arena's descriptor."""
        return encode(Hello(VERSION, self.space.arena.size))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The worker has our arena by now, or will take it from the socket."""
        self._transport = transport  # type: ignore[assignment]  # a stream's is a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The process ended, or was not to be believed."""
        self._transport = None
        self.window = 0
        self._owner.lost(self, self._lie)

    def close(self) -> None:
        """Drop the connection; `lost` is called after it."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take answers. One that cannot be true ends the connection."""
        if self._lie is not None:
            return
        try:
            for body in self._frames.feed(data):
                self._take(decode_to_edge(body))
        except (Lie, msgspec.MsgspecError, ValueError) as error:
            self._lie = str(error)
            self.close()
            return
        self._owner.answered()

    # --- calls out -----------------------------------------------------------------------------------------------

    def send(self, call: Call) -> bool:
        """Send a call. False, and nothing is changed, if the arena has no room for it now. Raises TooLarge."""
        sent: list[Sent] = []
        inline = 0
        find = self.space.leases.get
        for tensor in call.inputs:
            data = tensor.data
            lease = find(id(data))
            if lease is not None:
                call.leases.append(lease)
                sent.append(Sent(tensor.dims, None, lease.offset))
                continue
            size = data.nbytes if isinstance(data, memoryview) else len(data)
            if size <= INLINE and inline + size <= MAX_INLINE:
                inline += size
                sent.append(Sent(tensor.dims, bytes(data)))
                continue
            offset = self._reserve(call, size)
            if offset is None:
                return False
            self.space.arena.view(offset, size)[:] = memoryview(data).cast("B")
            sent.append(Sent(tensor.dims, None, offset))
        call.key = tuple([tensor.dims for tensor in call.inputs])
        if not self._choose_places(call):
            return False
        self._next = call.number = self._next + 1
        call.link = self
        for lease in call.leases:
            lease.hold()
        self.calls[call.number] = call
        self._write(Infer(call.number, call.deadline_ns, tuple(sent), tuple(call.places)))
        return True

    def abandon(self, call: Call) -> None:
        """Tell the worker that nobody waits for a call that was sent."""
        self._write(Cancel(call.number))

    def _choose_places(self, call: Call) -> bool:
        lengths = self._seen.get(call.key) or self._shapes.expect(call.key).lengths
        inline = 0
        for length in lengths:
            if length is None or (length <= INLINE and inline + length <= MAX_INLINE):
                inline += length or 0
                call.places.append(None)
                continue
            offset = self._reserve(call, length)
            if offset is None:
                return False
            call.places.append(Place(offset, length))
        return True

    def _reserve(self, call: Call, size: int) -> int | None:
        """Memory for one tensor of a call. On None all that the call had is given back. Raises TooLarge."""
        arena = self.space.arena
        offset = arena.allocate(size)
        if offset is not None:
            call.extents.append((offset, size))
            return offset
        self._unplace(call)
        if size > arena.size:
            raise TooLarge(
                f"a tensor of {size} bytes does not fit into the model's shared memory of {arena.size} bytes",
                remedy="send smaller tensors, or raise the model's `shared_memory`",
            )
        return None

    def _unplace(self, call: Call) -> None:
        for offset, size in call.extents:
            self.space.arena.free(offset, size)
        call.leases, call.extents, call.places = [], [], []

    def _write(self, message: Infer | Fetch | Cancel) -> None:
        if self._transport is not None:
            self._transport.write(encode(message))

    # --- answers in ----------------------------------------------------------------------------------------------

    def _take(self, message: ToEdge) -> None:
        if isinstance(message, Done):
            self._done(message)
        elif isinstance(message, Failed):
            self._failed(message)
        elif isinstance(message, More):
            self._more(message)
        elif isinstance(message, Welcome):
            if message.version != VERSION or self.window:
                raise Lie(f"an unexpected welcome of version {message.version}")
            self._lanes = message.lanes
            self.window = max(2 * self._lanes, 8)
            self.space.arena.close_descriptor()
            self._owner.welcomed()

    def _done(self, message: Done) -> None:
        call = self._call(message.call)
        if len(message.outputs) != len(self._signature.outputs):
            raise Lie(f"{len(message.outputs)} outputs instead of {len(self._signature.outputs)}")
        views: list[memoryview] = []
        tensors = []
        for index, output in enumerate(message.outputs):
            tensors.append(self._tensor(call, index, output, views))
        self._finish(call)
        self._learn(message)
        outputs = ProcessOutputs(
            tuple(tensors),
            (message.queue_ns, message.compute_ns, message.batch),
            self.space,
            call.extents,
            views,
        )
        if call.gone or call.future.done():
            outputs.release()
        else:
            call.future.set_result(outputs)

    def _tensor(self, call: Call, index: int, output: Answered, views: list[memoryview]) -> Tensor:
        """An output, held against the place that was chosen for it. Nothing else that the worker says matters."""
        kind = self._signature.outputs[index].type
        length = byte_length(kind, output.dims)
        if output.data is not None:
            if len(output.data) != length:
                raise Lie(f"an output of {len(output.data)} bytes whose shape takes {length}")
            return Tensor(kind, output.dims, output.data)
        place = call.places[index]
        if place is None or length > place.length:
            raise Lie(f"an output of {length} bytes where it had {place.length if place else 0}")
        view = self.space.arena.view(place.offset, length)
        views.append(view)
        return Tensor(kind, output.dims, view)

    def _failed(self, message: Failed) -> None:
        call = self._call(message.call)
        self._finish(call)
        self.space.give_back(call.extents, [])
        if not call.gone and not call.future.done():
            kind = _KINDS.get(message.code, RuntimeFailed)
            call.future.set_exception(kind(message.message, cause=message.cause, remedy=message.remedy))

    def _more(self, message: More) -> None:
        """Give an output that was larger than expected the place it needs."""
        call = self._call(message.call)
        if len(message.lengths) != len(call.places):
            raise Lie(f"{len(message.lengths)} lengths for {len(call.places)} outputs")
        places: list[Place | None] = list(call.places)
        for index, length in enumerate(message.lengths):
            if not length:
                continue
            offset = None if call.gone else self.space.arena.allocate(length)
            if offset is None:
                self._refuse(call, length)
                return
            call.extents.append((offset, length))
            places[index] = Place(offset, length)
        call.places = places
        self._remember(call.key, tuple(place.length if place else 0 for place in places))
        self._write(Fetch(call.number, tuple(places)))

    def _refuse(self, call: Call, length: int) -> None:
        """There is no memory for an output: let the worker forget it, and say so."""
        self._write(Cancel(call.number))
        if not call.gone and not call.future.done():
            call.gone = True
            call.future.set_exception(
                TooLarge(
                    f"an output of {length} bytes does not fit into what is free of the model's shared memory",
                    remedy="raise the model's `shared_memory`",
                )
            )

    def _call(self, number: int) -> Call:
        call = self.calls.get(number)
        if call is None:
            raise Lie(f"an answer to a call {number} that was never made")
        return call

    def _finish(self, call: Call) -> None:
        """The worker has answered for good: from here on it does not touch the call's memory."""
        del self.calls[call.number]
        for lease in call.leases:
            lease.let_go()

    def _learn(self, message: Done) -> None:
        """Send about 20 ms of work ahead: enough to keep the worker busy, little enough to cancel or to lose."""
        each = message.compute_ns / max(1, message.batch)
        self._pace += (each - self._pace) / 8
        ahead = int(_AHEAD_NS / self._pace) if self._pace >= 1 else _MAX_WINDOW
        self.window = max(2 * self._lanes, min(ahead, _MAX_WINDOW), 2)

    def _remember(self, key: tuple[tuple[int, ...], ...], lengths: tuple[int, ...]) -> None:
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[key] = lengths
