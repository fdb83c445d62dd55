"""One connection to a model's process: calls out, answers in, and nothing believed that was not checked."""

from __future__ import annotations

import asyncio
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from wasmind.backends.failures import FAILURES
from wasmind.backends.leases import ProcessOutputs, Space
from wasmind.backends.plan import Plan, planned
from wasmind.backends.vigil import LONGEST_NS
from wasmind.errors import RuntimeFailed, TooLarge
from wasmind.nn.tensor import Tensor, byte_length
from wasmind.worker.wire import (
    INLINE,
    MAX_INLINE,
    VERSION,
    Cancel,
    Done,
    Failed,
    Fetch,
    Forget,
    Frames,
    Hello,
    Infer,
    More,
    Place,
    ToEdge,
    Welcome,
    decode_to_edge,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.backends.call import Call
    from wasmind.nn.signature import Signature
    from wasmind.nn.tensor import Buffer
    from wasmind.worker.shapes import Dims, Shapes

_AHEAD_NS = 20_000_000
_FIRST_WINDOW, _LARGEST_WINDOW = 8, 256
_REMEMBERED = 256
_FOREVER, _LATEST = 1e9, 1 << 62
_dims_of, _data_of = attrgetter("dims"), attrgetter("data")


class LieError(Exception):
    """The worker sent what no worker of ours sends: it is broken or taken over."""


class Owner(Protocol):
    """Who has a link."""

    def made(self, link: Link) -> None:
        """The connection stands."""

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
        self.generations: set[int] = set()
        """Begun and not forgotten: the worker keeps their state."""
        self.window = 0
        """How many calls may be under way; none before the worker's welcome."""
        self.queued = False
        """Calls wait for their turn, so the owner wants to hear of answers and of free memory."""
        self.proven = False
        """The worker has answered a call."""
        self.resting = False
        """Nothing new is sent, only steps of what was begun."""
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
        self._plans: dict[tuple[Dims, ...], Plan] = {}

    # --- the connection ---------------------------------------------------------------------------------

    def hello(self) -> bytes:
        """The first frame, which goes with the arena's descriptor."""
        return encode(Hello(VERSION, self.space.arena.size))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The worker has our arena by now, or will take it from the socket."""
        self._transport = transport  # type: ignore[assignment]  # a stream's is a Transport
        self._owner.made(self)

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

    def rest(self) -> None:
        """Begin no more; when all calls are answered and all generations forgotten, drop the connection."""
        self.resting = self.queued = True
        self.window = 0
        self.leave()

    def leave(self) -> None:
        """Drop a connection that rests and owes nothing."""
        if self.resting and not self.calls and not self.generations:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Take answers. One that cannot be true ends the connection."""
        if self._lie is not None:
            return
        try:
            for body in self._frames.feed(data):
                message = decode_to_edge(body)
                if message.__class__ is Done:
                    self._done(message)
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
        """Send a call. False, and nothing has changed, if the arena has no room now.

        Raises TooLarge, and ModelDied for a step of what was begun on another connection.
        """
        inputs, generation = call.inputs, call.generation
        if generation is not None and generation.link not in (None, self):
            raise generation.lost()
        dims = tuple(map(_dims_of, inputs))
        data: tuple[Any, ...] | None = tuple(map(_data_of, inputs))
        if sum(map(len, data)) > INLINE:  # type: ignore[arg-type]  # all of them have a length
            data = self._place_inputs(call)
        plan = call.plan = self._plans.get(dims) or self._remember(dims, planned(self._shapes.expect(dims)))
        if data is None or (plan.wanted and not self._choose_places(call, plan.wanted)):
            return False
        self._next = call.number = self._next + 1
        call.link = self
        if call.leases:
            for lease in call.leases:
                lease.hold()
        self.calls[call.number] = call
        # asyncio's and uvloop's clocks are both CLOCK_MONOTONIC, which the worker reads too.
        deadline = int(call.deadline * 1e9) if call.deadline < _FOREVER else _LATEST
        if generation is None:
            self._write(Infer(call.number, deadline, dims, data, call.places))
        else:
            generation.link = self
            self.generations.add(generation.number)
            self._write(Infer(call.number, deadline, dims, data, call.places, generation.number))
        return True

    @property
    def swift(self) -> bool:
        """Whether the only call under way is likely to be answered within a vigil, by the last ones' pace."""
        return 0.0 < self._pace < LONGEST_NS and len(self.calls) == 1

    def forget(self, generation: int) -> None:
        """Tell the worker that no more steps of a generation are wanted."""
        self._write(Forget(generation))
        self.generations.discard(generation)
        self.leave()

    def abandon(self, call: Call) -> None:
        """Tell the worker that nobody waits for a call that was sent."""
        self._write(Cancel(call.number))

    def _place_inputs(self, call: Call) -> tuple[Buffer | int, ...] | None:
        """The inputs' bytes, where they travel inline, or else their offsets. None if there is no room."""
        room = MAX_INLINE
        data: list[Buffer | int] = []
        for tensor in call.inputs:
            held = tensor.data
            size = len(held)
            lease = self.space.leases.get(id(held))
            if size <= INLINE and size <= room:
                room -= size
                data.append(held)
            elif lease is not None:
                call.leases = [*(call.leases or ()), lease]
                data.append(lease.offset)
            else:
                offset = self._reserve(call, size)
                if offset is None:
                    return None
                self.space.arena.view(offset, size)[:] = held
                data.append(offset)
        return tuple(data)

    def _choose_places(self, call: Call, wanted: Sequence[int]) -> bool:
        places: list[Place | None] = []
        for length in wanted:
            offset = self._reserve(call, length) if length else 0
            if offset is None:
                return False
            places.append(Place(offset, length) if length else None)
        call.places = tuple(places)
        return True

    def _remember(self, dims: tuple[Dims, ...], plan: Plan) -> Plan:
        if len(self._plans) >= _REMEMBERED:
            self._plans.clear()
        self._plans[dims] = plan
        return plan

    def _reserve(self, call: Call, size: int) -> int | None:
        """Memory for one tensor of a call. On None all that the call had is given back. Raises TooLarge."""
        arena = self.space.arena
        offset = arena.allocate(size)
        if offset is not None:
            call.extents = call.extents or []
            call.extents.append((offset, size))
            return offset
        for taken in call.extents or ():
            arena.free(*taken)
        call.extents = call.leases = None
        if size > arena.size:
            raise TooLarge(
                f"a tensor of {size} bytes does not fit into the model's shared memory of {arena.size} bytes",
                remedy="send smaller tensors, or raise the model's `shared_memory`",
            )
        return None

    def _write(self, message: Infer | Fetch | Cancel | Forget) -> None:
        if self._transport is not None:
            self._transport.write(encode(message))

    # --- answers in -------------------------------------------------------------------------------------

    def _done(self, message: Done) -> None:
        call = self._call(message.call)
        plan: Plan = call.plan  # type: ignore[assignment]  # a call that was sent has one
        data: tuple[Any, ...] = message.data
        views: list[memoryview] = []
        if message.dims == plan.dims and None not in data and tuple(map(len, data)) == plan.lengths:
            # All is as it was foreseen, and came inline.
            tensors = tuple(map(Tensor, self._types, plan.dims, data))
        else:
            tensors = self._tensors(call, message, views)
        self._finish(call)
        outputs = ProcessOutputs(
            tensors, message.queue_ns, message.compute_ns, message.batch, self.space, call.extents, views
        )
        if call.future.done():
            outputs.release()
        else:
            call.future.set_result(outputs)
        if not message.call & 7:
            self._set_window(message)

    def _tensors(self, call: Call, message: Done, views: list[memoryview]) -> tuple[Tensor, ...]:
        """The outputs, each held against its length and the place that was chosen for it."""
        if not len(message.dims) == len(message.data) == len(self._types):
            raise LieError(f"{len(message.dims)} outputs for the call {message.call}")
        tensors = []
        places = call.places or self._nowhere
        for kind, dims, data, place in zip(self._types, message.dims, message.data, places, strict=True):
            length = byte_length(kind, dims)
            if data is not None:
                if len(data) != length:
                    raise LieError(f"an output of {len(data)} bytes whose shape takes {length}")
                tensors.append(Tensor(kind, dims, data))
                continue
            if place is None or length > place.length:
                raise LieError(f"an output of {length} bytes where it had {place.length if place else 0}")
            views.append(self.space.arena.view(place.offset, length))
            tensors.append(Tensor(kind, dims, views[-1]))
        return tuple(tensors)

    def _take(self, message: ToEdge) -> None:
        if isinstance(message, Failed):
            self._failed(message)
        elif isinstance(message, More):
            self._more(message)
        elif isinstance(message, Welcome):
            if message.version != VERSION or self.window:
                raise LieError(f"an unexpected welcome of version {message.version}")
            self._lanes = message.lanes
            self.window = 0 if self.resting else max(2 * self._lanes, _FIRST_WINDOW)
            self.space.arena.close_descriptor()
            self._owner.welcomed()

    def _failed(self, message: Failed) -> None:
        call = self._call(message.call)
        self._finish(call)
        self.space.give_back(call.extents or (), ())
        if not call.future.done():
            kind = FAILURES.get(message.code, RuntimeFailed)
            call.future.set_exception(kind(message.message, cause=message.cause, remedy=message.remedy))

    def _more(self, message: More) -> None:
        """Give outputs that are larger than was known the places they need."""
        call = self._call(message.call)
        if len(message.lengths) != len(self._types) or call.fetching:
            raise LieError(f"{len(message.lengths)} lengths for the call {message.call}")
        call.fetching = True
        if call.gone:
            return  # the worker has not seen yet that nobody waits
        places = list(call.places or self._nowhere)
        for index, length in enumerate(message.lengths):
            if not length:
                continue
            offset = self.space.arena.allocate(length)
            if offset is None:
                self._refuse(call, length)
                return
            call.extents = call.extents or []
            call.extents.append((offset, length))
            places[index] = Place(offset, length)
        call.places = tuple(places)
        # The next call with such inputs has its places from the start.
        self._remember(
            tuple(map(_dims_of, call.inputs)), Plan(tuple(place.length if place else 0 for place in places))
        )
        self._write(Fetch(call.number, call.places))

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
        self.proven = True
        if call.leases:
            for lease in call.leases:
                lease.let_go()

    def _set_window(self, message: Done) -> None:
        """Send about 20 ms of work ahead: enough to keep it busy, little enough to lose."""
        if self.resting:
            return
        self._pace += (message.compute_ns / (message.batch or 1) - self._pace) * 0.5
        ahead = int(_AHEAD_NS / max(self._pace, 1.0))
        self.window = max(2 * self._lanes, min(ahead, _LARGEST_WINDOW))
