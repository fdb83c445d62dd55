"""One connection to a model's process: calls out, answers in, and nothing believed that was not checked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from wasmind.backends.leases import NOTHING, ProcessOutputs, SharedLease, Space
from wasmind.errors import InferenceTimeout, InvalidArgument, NnError, RuntimeFailed, TooLarge
from wasmind.nn.tensor import Tensor, byte_length
from wasmind.worker.wire import (
    INLINE,
    MAX_INLINE,
    VERSION,
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
    from collections.abc import Sequence

    from wasmind.nn.signature import Signature
    from wasmind.worker.shapes import Dims, Shapes

_KINDS: dict[str, type[NnError]] = {
    kind.code: kind for kind in (InferenceTimeout, InvalidArgument, RuntimeFailed, TooLarge)
}
_AHEAD_NS = 20_000_000
_FIRST_WINDOW, _LARGEST_WINDOW = 8, 256
_REMEMBERED = 256
_FOREVER = 1e9


class LieError(Exception):
    """The worker sent what no worker of ours sends: it is broken or taken over."""


class Call:
    """One inference that somebody waits for."""

    __slots__ = (
        "deadline",
        "extents",
        "fetching",
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
    )

    def __init__(
        self, inputs: tuple[Tensor, ...], deadline: float, tenant: str, future: asyncio.Future[ProcessOutputs]
    ) -> None:
        self.inputs = inputs
        self.deadline = deadline
        """In the loop's time."""
        self.tenant = tenant
        self.future = future
        self.gone = False
        """Nobody waits any more. What it uses of the arena stays taken until the worker has answered."""
        self.starved = False
        """It waits because the arena is full."""
        self.link: Link | None = None
        """The connection on which it was sent; what follows is set then."""
        self.number: int
        self.key: tuple[Dims, ...]
        self.leases: Sequence[SharedLease]
        """The leases that its inputs lie in."""
        self.extents: list[tuple[int, int]]
        """What else it has of the arena: copies of inputs, and the places of outputs."""
        self.places: Sequence[Place | None]
        self.fetching = False
        """The worker has said that its outputs need more room."""


class Owner(Protocol):
    """Who has a link."""

    def welcomed(self) -> None:
        """A process serves the connection."""

    def answered(self) -> None:
        """Calls that wait may have their turn: answers came, or memory of the arena became free."""

    def lost(self, link: Link, lie: str | None) -> None:
        """The connection ended; `lie` is what the worker did wrong, if that is why."""


class Link(asyncio.Protocol):
    """A connection and its arena. When it is lost both are, and the backend makes another."""

    def __init__(self, signature: Signature, shapes: Shapes, size: int, owner: Owner) -> None:
        self.space = Space(size, self._freed)
        self.calls: dict[int, Call] = {}
        """Sent and not answered."""
        self.window = 0
        """How many calls may be under way; none before the worker's welcome."""
        self.queued = False
        """Calls wait for their turn, so the owner wants to hear of answers and of free memory."""
        self._types = tuple(spec.type for spec in signature.outputs)
        self._nowhere: tuple[Place | None, ...] = (None,) * len(self._types)
        self._shapes = shapes
        self._owner = owner
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._next = 0
        self._lanes = 1
        self._pace = 0.0
        self._lie: str | None = None
        self._wanted: dict[tuple[Dims, ...], tuple[int, ...]] = {}
        """The places that outputs need, by the inputs' shapes: 0 for none, () where no output needs one."""

    # --- the connection ---------------------------------------------------------------------------------

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
        self.space.arena.close_descriptor()
        self._owner.lost(self, self._lie)

    def close(self) -> None:
        """Drop the connection; the owner hears of the loss after it."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take answers. One that cannot be true ends the connection."""
        if self._lie is not None:
            return
        try:
            for body in self._frames.feed(data):
                message = decode_to_edge(body)
                if message.__class__ is Done:
                    self._done(message)  # type: ignore[arg-type]  # just asked
                else:
                    self._take(message)
        except (LieError, msgspec.MsgspecError, ValueError) as error:
            self._lie = str(error)
            self.close()
        else:
            if self.queued:
                self._owner.answered()

    def _freed(self) -> None:
        if self.queued:
            self.queued = False
            asyncio.get_running_loop().call_soon(self._owner.answered)

    # --- calls out --------------------------------------------------------------------------------------

    def send(self, call: Call) -> bool:
        """Send a call. False, and nothing has changed, if the arena has no room now. Raises TooLarge."""
        sent: list[Sent] = []
        key: list[Dims] = []
        call.extents = []
        leases: list[SharedLease] = []
        lent = self.space.leases
        inline = 0
        for tensor in call.inputs:
            data, dims = tensor.data, tensor.dims
            key.append(dims)
            if lent and (lease := lent.get(id(data))) is not None:
                leases.append(lease)
                sent.append(Sent(dims, None, lease.offset))
                continue
            size = data.nbytes if data.__class__ is memoryview else len(data)  # type: ignore[union-attr]
            if size <= INLINE and inline + size <= MAX_INLINE:
                inline += size
                sent.append(Sent(dims, bytes(data)))
                continue
            offset = self._reserve(call, size)
            if offset is None:
                return False
            self.space.arena.view(offset, size)[:] = memoryview(data).cast("B")
            sent.append(Sent(dims, None, offset))
        call.key = tuple(key)
        if self._wanted.get(call.key) == ():
            call.places = self._nowhere
        elif not self._choose_places(call):
            return False
        self._next = call.number = self._next + 1
        call.link = self
        call.leases = leases
        for lease in leases:
            lease.hold()
        self.calls[call.number] = call
        # asyncio's and uvloop's clocks are both CLOCK_MONOTONIC, which the worker reads too.
        deadline = int(min(call.deadline, _FOREVER) * 1e9)
        self._write(Infer(call.number, deadline, tuple(sent), tuple(call.places)))
        return True

    def abandon(self, call: Call) -> None:
        """Tell the worker that nobody waits for a call that was sent."""
        self._write(Cancel(call.number))

    def _choose_places(self, call: Call) -> bool:
        wanted = self._wanted.get(call.key)
        if wanted is None:
            wanted = self._want(call.key, self._shapes.expect(call.key).lengths)
        if not wanted:
            call.places = self._nowhere
            return True
        places: list[Place | None] = []
        for length in wanted:
            offset = self._reserve(call, length) if length else 0
            if offset is None:
                return False
            places.append(Place(offset, length) if length else None)
        call.places = places
        return True

    def _want(self, key: tuple[Dims, ...], lengths: Sequence[int | None]) -> tuple[int, ...]:
        """The places that outputs need: 0 for one that travels inline or is not known yet."""
        inline = 0
        wanted = []
        for length in lengths:
            small = length is None or (length <= INLINE and inline + length <= MAX_INLINE)
            inline += length or 0 if small else 0
            wanted.append(0 if small else length or 0)
        if len(self._wanted) >= _REMEMBERED:
            self._wanted.clear()
        found = self._wanted[key] = tuple(wanted) if any(wanted) else ()
        return found

    def _reserve(self, call: Call, size: int) -> int | None:
        """Memory for one tensor of a call. On None all that the call had is given back. Raises TooLarge."""
        arena = self.space.arena
        offset = arena.allocate(size)
        if offset is not None:
            call.extents.append((offset, size))
            return offset
        for taken in call.extents:
            arena.free(*taken)
        call.extents = []
        if size > arena.size:
            raise TooLarge(
                f"a tensor of {size} bytes does not fit into the model's shared memory of {arena.size} bytes",
                remedy="send smaller tensors, or raise the model's `shared_memory`",
            )
        return None

    def _write(self, message: Infer | Fetch | Cancel) -> None:
        if self._transport is not None:
            self._transport.write(encode(message))

    # --- answers in -------------------------------------------------------------------------------------

    def _done(self, message: Done) -> None:
        call = self.calls.get(message.call)
        if call is None or len(message.outputs) != len(self._types):
            raise LieError(f"{len(message.outputs)} outputs for the call {message.call}")
        views: list[memoryview] = []
        tensors = []
        for kind, output, place in zip(self._types, message.outputs, call.places, strict=True):
            data: bytes | memoryview | None = output.data
            length = byte_length(kind, output.dims)
            if data is None:
                # Only the place that was chosen for it counts, and that the output fits there.
                if place is None or length > place.length:
                    raise LieError(f"an output of {length} bytes where it had {place.length if place else 0}")
                data = self.space.arena.view(place.offset, length)
                views.append(data)
            elif len(data) != length:
                raise LieError(f"an output of {len(data)} bytes whose shape takes {length}")
            tensors.append(Tensor(kind, output.dims, data))
        self._finish(call)
        outputs = ProcessOutputs(tuple(tensors), message, self.space, call.extents, views)
        if call.gone or call.future.done():
            outputs.release()
        else:
            call.future.set_result(outputs)
        if not message.call & 7:
            self._set_window(message)

    def _take(self, message: ToEdge) -> None:
        if isinstance(message, Failed):
            self._failed(message)
        elif isinstance(message, More):
            self._more(message)
        elif isinstance(message, Welcome):
            if message.version != VERSION or self.window:
                raise LieError(f"an unexpected welcome of version {message.version}")
            self._lanes = message.lanes
            self.window = max(2 * self._lanes, _FIRST_WINDOW)
            self.space.arena.close_descriptor()
            self._owner.welcomed()

    def _failed(self, message: Failed) -> None:
        call = self._call(message.call)
        self._finish(call)
        self.space.give_back(call.extents, NOTHING)
        if not call.gone and not call.future.done():
            kind = _KINDS.get(message.code, RuntimeFailed)
            call.future.set_exception(kind(message.message, cause=message.cause, remedy=message.remedy))

    def _more(self, message: More) -> None:
        """Give outputs that are larger than was known the places they need."""
        call = self._call(message.call)
        if len(message.lengths) != len(self._types) or call.fetching:
            raise LieError(f"{len(message.lengths)} lengths for the call {message.call}")
        call.fetching = True
        if call.gone:
            return  # the worker has not seen yet that nobody waits
        places = list(call.places)
        for index, length in enumerate(message.lengths):
            if not length:
                continue
            offset = self.space.arena.allocate(length)
            if offset is None:
                self._refuse(call, length)
                return
            call.extents.append((offset, length))
            places[index] = Place(offset, length)
        call.places = places
        self._want(call.key, [place.length if place else 0 for place in places])
        self._write(Fetch(call.number, tuple(places)))

    def _refuse(self, call: Call, length: int) -> None:
        """There is no memory for an output: let the worker forget it, and say so."""
        call.gone = True
        self._write(Cancel(call.number))
        if not call.future.done():
            call.future.set_exception(
                TooLarge(
                    f"an output of {length} bytes does not fit into what is free of the shared memory",
                    remedy="raise the model's `shared_memory`",
                )
            )

    def _call(self, number: int) -> Call:
        call = self.calls.get(number)
        if call is None:
            raise LieError(f"an answer to a call {number} that was never made")
        return call

    def _finish(self, call: Call) -> None:
        """The worker has answered for good: from here on it does not touch the call's memory."""
        del self.calls[call.number]
        for lease in call.leases:
            lease.let_go()

    def _set_window(self, message: Done) -> None:
        """Send about 20 ms of work ahead: enough to keep it busy, little enough to lose."""
        self._pace += (message.compute_ns / (message.batch or 1) - self._pace) * 0.5
        ahead = int(_AHEAD_NS / max(self._pace, 1.0))
        self.window = max(2 * self._lanes, min(ahead, _LARGEST_WINDOW))
