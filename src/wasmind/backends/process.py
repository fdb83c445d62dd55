"""Models that run in a process of this node: `nn.Backend` over a Unix socket and shared memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Literal, NoReturn

from wasmind.backends.call import Call
from wasmind.backends.deadlines import Deadlines
from wasmind.backends.generation import ProcessGeneration
from wasmind.backends.leases import PrivateLease
from wasmind.backends.link import Link
from wasmind.backends.queue import FairQueue
from wasmind.errors import InferenceTimeout, ModelBusy, ModelDied, ModelUnavailable, NnError
from wasmind.worker.shapes import Shapes
from wasmind.worker.wire import INLINE

if TYPE_CHECKING:
    from wasmind.backends.leases import ProcessOutputs, SharedLease
    from wasmind.backends.vigil import Vigil
    from wasmind.nn.signature import Signature
    from wasmind.nn.tensor import Tensor

EXPLANATION_S = 0.25
"""How long calls of a dead process wait to learn how it died."""

DIED = "the model's process died: "
_RETRY_S = 0.01, 1.0


class ProcessBackend:
    """One model's process, as one edge worker uses it: one connection, made again when it is lost.

    While no process serves, connections wait in the socket's backlog, and calls wait here until their
    deadline (`when_down = "wait"`) or fail at once (`"fail"`). Used from one event loop.
    """

    def __init__(
        self,
        address: str,
        name: str,
        signature: Signature | None = None,
        *,
        shared_memory: int = 64 << 20,
        queue: int = 20_000,
        when_down: Literal["wait", "fail"] = "wait",
        vigil: Vigil | None = None,
    ) -> None:
        """`address` is the socket's path; `queue` is how many calls may wait or run at once.

        `vigil` is kept for the answers of a model that takes less time than it takes to sleep.
        """
        self.name = name
        self._vigil = vigil
        self._address = address
        self._memory = shared_memory
        self._limit = queue
        self._when_down = when_down
        self._signature: Signature | None = None
        self._shapes: Shapes | None = None
        self._queue: FairQueue[Call] = FairQueue()
        self._link: Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._mourned: list[Call] = []
        self._explained: tuple[str, float] | None = None
        self._refusal: str | None = None
        self._refused = True
        self._deadlines: Deadlines[Call] = Deadlines(self._expire)
        self._waiting = self._deadlines.items
        self._down = False
        self._resting = False
        self._pause = 0.0
        self._generations = 0
        if signature is not None:
            self._learn(signature)

    # --- nn.Backend -------------------------------------------------------------------------------------

    @property
    def signature(self) -> Signature:
        """Names, types and shapes of inputs and outputs. Raises ModelUnavailable while it is not known."""
        if self._signature is None:
            raise self._unavailable()
        return self._signature

    def lease(self, size: int) -> SharedLease | PrivateLease:
        """Borrow `size` bytes for an input: shared ones if it cannot travel inline, and some are free."""
        link = self._link
        lease = None if size <= INLINE or link is None else link.space.lease(size)
        return lease or PrivateLease(size)

    def generation(self) -> ProcessGeneration:
        """A new inference that goes step by step; see `nn.Backend.generation`."""
        self._generations += 1
        return ProcessGeneration(self._step, self._generations)

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> ProcessOutputs:
        """Run once; see `nn.Backend.infer`. The outputs also tell `batch`, how many calls ran together."""
        if self._refused or len(self._waiting) >= self._limit:
            self._turn_away()
        call = Call(inputs, deadline, tenant, asyncio.get_running_loop().create_future())
        link = self._link
        # Nobody waits before it, the worker takes more, and its bytes fit: so it is with nearly all calls.
        if link is None or link.queued or len(link.calls) >= link.window or not link.send(call):
            self._hold(call)
        elif self._vigil is not None and link.swift:
            self._vigil.keep()
        self._deadlines.add(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            self._give_up(call)
            raise
        finally:
            self._waiting.discard(call)
            del call  # its future knows an error, which knows this frame

    async def _step(
        self, generation: ProcessGeneration, inputs: tuple[Tensor, ...], deadline: float, tenant: str
    ) -> ProcessOutputs:
        """One step. The first waits for its turn like any call; the others do not, as their end makes room.

        Raises as `infer` does.
        """
        if self._refused or len(self._waiting) >= self._limit:
            self._turn_away()
        link = self._link
        if generation.link not in (None, link):
            raise generation.lost()
        call = Call(inputs, deadline, tenant, asyncio.get_running_loop().create_future(), generation)
        waits = link is None or (generation.link is None and (link.queued or len(link.calls) >= link.window))
        if waits or link is None or not link.send(call):
            self._hold(call)
        self._deadlines.add(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            self._give_up(call)
            raise
        finally:
            self._waiting.discard(call)
            del call  # its future knows an error, which knows this frame

    @property
    def waiting(self) -> int:
        """The inferences that somebody waits for now."""
        return len(self._waiting)

    @property
    def next_tenant(self) -> str | None:
        """Whose call has the next turn, where calls wait for the process to come."""
        call = self._queue.first()
        return None if call is None else call.tenant

    # --- its life ---------------------------------------------------------------------------------------

    def limit(self, *, queue: int, shared_memory: int, when_down: Literal["wait", "fail"]) -> None:
        """Take new settings; the shared memory's size is the next connection's."""
        self._limit, self._memory, self._when_down = queue, shared_memory, when_down

    def open(self) -> None:
        """Begin to connect; a call does it too."""
        if (
            self._link is None
            and self._connecting is None
            and self._signature is not None
            and not self._refusal
            and not self._resting
        ):
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def explain_death(self, reason: str) -> None:
        """How the process died, from whoever watches it: its calls in flight fail with these words."""
        self._explained = reason, asyncio.get_running_loop().time()
        self._bury()

    def suspend(self, reason: str) -> None:
        """The model does not come back by itself: calls fail with these words, until `resume`."""
        self._refusal, self._refused = reason, True
        for call in self._queue.drain():
            self._fail(call, self._unavailable())

    def rest(self) -> None:
        """The process leaves: what was sent is answered and what was begun goes on to its end, then the
        connection ends; later calls wait here.
        """
        self._resting = True
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._link is not None:
            self._link.rest()

    def resume(self, signature: Signature) -> None:
        """The model is served, or will be soon."""
        self._resting = False
        self.expect(signature)
        self.open()

    def expect(self, signature: Signature) -> None:
        """The model comes back when somebody has asked for it: calls wait until `resume`."""
        self._refusal = None
        if self._signature != signature:
            self._learn(signature)
        self._refused = False

    async def close(self) -> None:
        """End the connection; calls in flight fail."""
        self.suspend("the model was removed")
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        if self._link is not None:
            self._link.close()
            await asyncio.sleep(0)  # the loss is told in the loop's next round
        self.explain_death("the model was removed")
        self._deadlines.close()

    def _learn(self, signature: Signature) -> None:
        self._signature = signature
        self._shapes = Shapes(signature)
        self._refused = False

    async def _connect(self) -> None:
        """Connect, however long it takes, and leave the rest to `welcomed` and `lost`."""
        if self._pause:
            await asyncio.sleep(self._pause)
        while not await self._try_to_connect():
            self._down = True
            self._wait_longer()
            await asyncio.sleep(self._pause)
        self._connecting = None

    def _wait_longer(self) -> None:
        shortest, longest = _RETRY_S
        self._pause = min(2 * self._pause or shortest, longest)

    async def _try_to_connect(self) -> bool:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(self._address)
            link = self._make_link()
        except OSError:  # nobody listens yet, or the backlog is full
            sock.close()
            return False
        try:
            socket.send_fds(sock, [link.hello()], [link.space.arena.fd])
            await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=sock)
        except BaseException as error:
            sock.close()
            link.space.arena.close_descriptor()
            if not isinstance(error, OSError):
                raise
            return False
        return True

    def _make_link(self) -> Link:
        assert self._signature is not None
        assert self._shapes is not None
        return Link(self._signature, self._shapes, self._memory, self)

    # --- what a link tells ------------------------------------------------------------------------------

    def made(self, link: Link) -> None:
        """The connection stands; whether a process serves it is not known yet."""
        self._link = link
        link.queued = bool(self._queue)
        if self._resting:
            link.rest()

    def welcomed(self) -> None:
        """A process serves this connection."""
        self._down = False
        self._explained = None

    def answered(self) -> None:
        """Calls that wait may have their turn."""
        if self._link is not None and self._link.resting:
            self._link.leave()
        else:
            self._pump()

    def lost(self, link: Link, lie: str | None) -> None:
        """The connection is gone, and its arena with it. Calls in flight wait a moment for the reason."""
        if self._link is link:
            self._link = None
            self._down = not link.resting
        if link.proven or link.resting:
            self._pause = 0.0
        else:
            self._wait_longer()  # else one that greets with nonsense would keep this loop busy
        calls = [call for call in link.calls.values() if not call.gone]
        if lie is not None:
            for call in calls:
                self._fail(call, ModelDied(f"the model's process was not to be believed: {lie}"))
        elif calls:
            self._mourned += calls
            loop = asyncio.get_running_loop()
            if self._explained and loop.time() - self._explained[1] < 1.0:
                self._bury()
            else:
                loop.call_later(EXPLANATION_S, self._bury)
        if self._when_down == "fail" and not link.resting:
            for call in self._queue.drain():
                self._fail(call, self._unavailable())
        self.open()

    # --- calls ------------------------------------------------------------------------------------------

    def _turn_away(self) -> NoReturn:
        if self._refused:
            raise self._unavailable()
        raise ModelBusy(
            f"the model {self.name!r} has {self._limit} inferences waiting, which is all it may have",
            remedy="try again later, or raise the model's `queue` or `instances`",
        )

    def _hold(self, call: Call) -> None:
        """Let a call wait for its turn. Raises ModelUnavailable."""
        if self._down and self._when_down == "fail":
            raise self._unavailable()
        link = self._link
        if link is None:
            self.open()
        else:
            call.starved = not link.queued and len(link.calls) < link.window
            link.queued = True
        self._queue.push(call)

    def _pump(self) -> None:
        """Send what waits, for as long as the worker takes more and the arena has room."""
        link = self._link
        if link is None:
            return
        link.queued = True
        while len(link.calls) < link.window:
            call = self._queue.first()
            if call is None:
                link.queued = False
                return
            try:
                if not link.send(call):
                    call.starved = True
                    return
            except NnError as error:
                self._fail(call, error)
            self._queue.pop()

    def _expire(self, call: Call) -> None:
        if call.future.done():
            return
        if call.starved and call.link is None:
            self._fail(
                call,
                ModelBusy(
                    f"the shared memory of the model {self.name!r} was full until the deadline",
                    remedy="try again later, or raise the model's `shared_memory`",
                ),
            )
        elif call.link is None:
            self._fail(
                call,
                InferenceTimeout(f"the deadline passed before the model {self.name!r} took the inference"),
            )
        else:
            self._fail(call, InferenceTimeout(f"the model {self.name!r} did not answer before the deadline"))
        self._give_up(call)

    def _give_up(self, call: Call) -> None:
        """Nobody waits for this call any more: make sure that nothing of it stays."""
        if call.gone:
            return
        if call.link is None:
            self._queue.give_up(call)
            return
        call.gone = True
        if call.number in call.link.calls:
            call.link.abandon(call)
        elif call.future.done() and not call.future.cancelled() and call.future.exception() is None:
            call.future.result().release()  # the answer and the cancellation crossed

    def _bury(self) -> None:
        """Fail the calls whose process died."""
        calls, self._mourned = self._mourned, []
        reason = self._explained[0] if self._explained else "how it died is not known yet"
        for call in calls:
            self._fail(
                call,
                ModelDied(
                    DIED + reason.removeprefix(DIED),
                    remedy="try again: the process is started anew; the model's log tells more",
                ),
            )

    def _fail(self, call: Call, error: NnError) -> None:
        if not call.future.done():
            call.future.set_exception(error)

    def _unavailable(self) -> ModelUnavailable:
        why = self._refusal or "its process is not serving"
        return ModelUnavailable(f"the model {self.name!r} is unavailable", cause=why)
