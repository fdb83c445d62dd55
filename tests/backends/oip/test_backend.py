"""The backend with transports that do what a test says: balancing, retries, breakers, queues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from wasmind.backends.oip.backend import ATTEMPTS, OipBackend, RemoteOutputs
from wasmind.backends.oip.breaker import Breaker
from wasmind.backends.oip.rest import Named
from wasmind.backends.oip.server import Server
from wasmind.backends.oip.transport import NotSent
from wasmind.errors import (
    ConfigError,
    InferenceTimeout,
    InvalidTensor,
    ModelBusy,
    ModelUnavailable,
    RuntimeFailed,
)
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.telemetry.elsewhere import ElsewhereFigures
from wasmind.telemetry.metrics import Registry

SIGNATURE = Signature((TensorSpec("x", TensorType.F32, (1,)),), (TensorSpec("y", TensorType.F32, (1,)),))
X = Tensor(TensorType.F32, (1,), np.float32(3).tobytes())
ANSWER: list[Named] = [("y", X)]


class Scripted:
    """A transport whose inferences do what `act` does; None is a plain answer."""

    def __init__(self, act: Callable[[], Awaitable[list[Named] | None]] | None = None) -> None:
        self.act = act
        self.calls = 0
        self.closed = False
        self.told: Signature | Exception = SIGNATURE

    async def signature(self, timeout: float) -> Signature:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    async def infer(self, inputs: Sequence[Named], outputs: Sequence[str], timeout: float) -> list[Named]:
        self.calls += 1
        assert timeout > 0
        assert [name for name, _ in inputs] == ["x"]
        assert list(outputs) == ["y"]
        return (self.act and await self.act()) or ANSWER

    async def close(self) -> None:
        self.closed = True


def fails(error: Exception) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        raise error

    return act


def server(transport: Scripted, *, concurrency: int = 8, queue: int = 8, threshold: int = 5) -> Server:
    breaker = Breaker(monotonic, threshold=threshold, pause=0.1)
    return Server("http://s", transport, breaker, concurrency=concurrency, queue=queue)


def backend(*servers: Server, **settings: object) -> OipBackend:
    return OipBackend("m", lambda: servers, SIGNATURE, **settings)  # type: ignore[arg-type]  # a policy by name


async def infer(one: OipBackend, seconds: float = 2.0) -> RemoteOutputs:
    return await one.infer((X,), asyncio.get_running_loop().time() + seconds, "t")


async def test_an_answer_in_the_order_of_the_signature() -> None:
    both = Signature(SIGNATURE.inputs, (TensorSpec("a", TensorType.F32, (1,)), *SIGNATURE.outputs))
    found: list[Named] = [("y", X), ("extra", X), ("a", X)]

    class Two(Scripted):
        async def infer(self, inputs: Sequence[Named], outputs: Sequence[str], timeout: float) -> list[Named]:
            assert list(outputs) == ["a", "y"]
            return found

    one = OipBackend("m", lambda: [server(Two())], both)
    outputs = await infer(one)
    assert outputs.tensors == (X, X)
    assert outputs.compute_ns > 0
    assert outputs.queue_ns >= 0
    outputs.release()


@pytest.mark.parametrize("answer", [[("z", X)], [("y", Tensor(TensorType.I32, (1,), bytes(4)))]])
async def test_an_answer_that_does_not_fit_the_signature_is_refused(answer: list[Named]) -> None:
    async def act() -> list[Named]:
        return answer

    with pytest.raises(RuntimeFailed, match="'y'"):
        await infer(backend(server(Scripted(act))))


async def test_what_was_not_sent_is_sent_again() -> None:
    transport = Scripted()

    async def act() -> None:
        if transport.calls < 3:
            raise NotSent("away")

    transport.act = act
    await infer(backend(server(transport)))
    assert transport.calls == 3


async def test_what_was_sent_is_never_sent_again() -> None:
    transport = Scripted(fails(ModelUnavailable("broke off")))
    with pytest.raises(ModelUnavailable, match="broke off"):
        await infer(backend(server(transport)))
    assert transport.calls == 1


async def test_waiting_ends_with_the_deadline() -> None:
    transport = Scripted(fails(NotSent("away")))
    began = monotonic()
    with pytest.raises(NotSent):
        await infer(backend(server(transport)), seconds=0.4)
    assert 0.05 < monotonic() - began < 1.0


async def test_a_policy_not_to_wait_gives_up_soon() -> None:
    transport = Scripted(fails(NotSent("away")))
    with pytest.raises(NotSent):
        await infer(backend(server(transport), when_down="fail"), seconds=30)
    assert transport.calls == ATTEMPTS


async def test_a_server_that_keeps_failing_is_left_alone() -> None:
    transport = Scripted(fails(ModelUnavailable("503")))
    one = backend(server(transport, threshold=2), when_down="fail")
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="503"):
            await infer(one)
    for _ in range(5):
        with pytest.raises(NotSent, match="every server"):
            await infer(one)
    assert transport.calls == 2


async def test_a_server_that_recovers_is_used_again() -> None:
    transport = Scripted(fails(ModelUnavailable("503")))
    one = backend(server(transport, threshold=1))
    with pytest.raises(ModelUnavailable):
        await infer(one)
    transport.act = None
    outputs = await infer(one)  # waits for the probe's time
    assert outputs.queue_ns > 50e6
    assert transport.calls == 2


async def test_refusals_do_not_count_against_a_server() -> None:
    transport = Scripted(fails(InvalidTensor("shape")))
    one = backend(server(transport, threshold=1), when_down="fail")
    for _ in range(3):
        with pytest.raises(InvalidTensor):
            await infer(one)
    assert transport.calls == 3


async def test_another_server_takes_what_one_could_not() -> None:
    away, well = Scripted(fails(NotSent("away"))), Scripted()
    one = backend(server(away, threshold=1), server(well), when_down="fail")
    for _ in range(20):
        await infer(one)
    assert away.calls <= 1 + 1
    assert well.calls == 20


async def test_the_server_with_the_fewest_under_way_is_chosen() -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    slow, fast = Scripted(wait), Scripted()
    busy = server(slow)
    first = asyncio.create_task(infer(backend(busy)))
    await asyncio.sleep(0.01)
    one = backend(busy, server(fast))
    for _ in range(20):
        await infer(one)
    assert (slow.calls, fast.calls) == (1, 20)
    release.set()
    await first


async def test_more_than_may_wait_are_busy() -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    transport = Scripted(wait)
    only = server(transport, concurrency=2, queue=3)
    one = backend(only)
    tasks = [asyncio.create_task(infer(one)) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert (transport.calls, only.outstanding, only.full) == (2, 5, True)
    with pytest.raises(ModelBusy):
        await infer(one)
    release.set()
    await asyncio.gather(*tasks)
    assert (transport.calls, only.outstanding) == (5, 0)


async def test_a_turn_that_comes_too_late() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    only = server(Scripted(forever), concurrency=1)
    one = backend(only)
    first = asyncio.create_task(infer(one))
    await asyncio.sleep(0.01)
    with pytest.raises(InferenceTimeout, match="no turn"):
        await infer(one, seconds=0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert only.outstanding == 0


async def test_calls_that_waited_for_a_server_that_broke_are_not_sent_to_it() -> None:
    transport = Scripted()

    async def break_off() -> None:
        await asyncio.sleep(0.02)
        raise ModelUnavailable("broke off")

    transport.act = break_off
    one = backend(server(transport, concurrency=1, threshold=1), when_down="fail")
    results = await asyncio.gather(*(infer(one) for _ in range(5)), return_exceptions=True)
    assert transport.calls == 1
    assert sorted(type(result).__name__ for result in results) == ["ModelUnavailable"] + 4 * ["NotSent"]


async def test_a_cancelled_probe_does_not_hold_the_breaker() -> None:
    transport = Scripted(fails(ModelUnavailable("503")))
    one = backend(server(transport, threshold=1))
    with pytest.raises(ModelUnavailable):
        await infer(one)

    async def forever() -> None:
        await asyncio.Event().wait()

    transport.act = forever
    probe = asyncio.create_task(infer(one))
    await asyncio.sleep(0.3)
    assert transport.calls == 2
    probe.cancel()
    transport.act = None
    await infer(one)


async def test_the_signature_comes_from_the_first_server_that_tells_it() -> None:
    mute, speaks = Scripted(), Scripted()
    mute.told = NotSent("away")
    one = OipBackend("m", lambda: [server(mute), server(speaks)])
    with pytest.raises(ModelUnavailable, match="unavailable"):
        _ = one.signature
    assert await one.refresh() == SIGNATURE
    assert one.signature == SIGNATURE
    speaks.told = RuntimeFailed("nonsense")
    with pytest.raises(RuntimeFailed, match="nonsense"):
        await one.refresh()


async def test_servers_that_cannot_be_used_are_explained() -> None:
    def connect() -> list[Server]:
        raise ConfigError("no such certificate")

    one = OipBackend("m", connect, SIGNATURE)
    with pytest.raises(ModelUnavailable, match="no such certificate"):
        await infer(one)


async def test_a_suspended_model_says_why_and_can_come_back() -> None:
    one = backend(server(Scripted()))
    one.suspend("it was given up")
    with pytest.raises(ModelUnavailable) as refused:
        await infer(one)
    assert refused.value.cause == "it was given up"
    one.resume(SIGNATURE)
    await infer(one)


async def test_closing_closes_what_was_opened() -> None:
    transport = Scripted()
    one = backend(server(transport))
    await infer(one)
    await one.close()
    assert transport.closed
    with pytest.raises(ModelUnavailable):
        await infer(one)
    await backend(server(transport)).close()


def test_inputs_are_private() -> None:
    lease = backend().lease(8)
    assert len(lease.view) == 8
    lease.release()


# --- hedging ------------------------------------------------------------------------------------------------


async def test_a_late_inference_is_sent_to_another_server_too() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    late, well = Scripted(forever), Scripted()
    first, second = server(late), server(well)
    second.outstanding = 1  # so that the late one is chosen first
    one = backend(first, second, hedge_ms=10)
    await infer(one)
    assert (late.calls, well.calls) == (1, 1)
    assert (first.outstanding, second.outstanding) == (0, 1), "the other was cancelled"


async def test_a_prompt_inference_is_sent_once() -> None:
    transports = Scripted(), Scripted()
    one = backend(*map(server, transports), hedge_ms=500)
    for _ in range(10):
        await infer(one)
    assert sum(transport.calls for transport in transports) == 10


async def test_an_only_server_may_get_it_twice() -> None:
    transport = Scripted()

    async def first_is_lost() -> None:
        if transport.calls == 1:
            await asyncio.Event().wait()

    transport.act = first_is_lost
    await infer(backend(server(transport), hedge_ms=10))
    assert transport.calls == 2


async def test_an_error_is_not_hedged() -> None:
    refuses, well = Scripted(fails(InvalidTensor("shape"))), Scripted()
    first, second = server(refuses), server(well)
    second.outstanding = 1
    with pytest.raises(InvalidTensor):
        await infer(backend(first, second, hedge_ms=50))
    assert well.calls == 0


async def test_hedging_never_doubles_the_load() -> None:
    async def slow() -> None:
        await asyncio.sleep(0.02)

    transports = Scripted(slow), Scripted(slow)
    one = backend(*(server(transport, concurrency=200) for transport in transports), hedge_ms=1)
    await asyncio.gather(*(infer(one) for _ in range(100)))
    twice = sum(transport.calls for transport in transports) - 100
    assert 10 <= twice <= 10 + 100 / 10


async def test_cancelling_a_hedged_inference_cancels_both() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    servers = [server(Scripted(forever)), server(Scripted(forever))]
    task = asyncio.create_task(infer(backend(*servers, hedge_ms=5)))
    await asyncio.sleep(0.05)
    assert [one.outstanding for one in servers] == [1, 1]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.outstanding for one in servers] == [0, 0]


# --- figures ------------------------------------------------------------------------------------------------


async def test_what_becomes_of_requests_is_counted(tmp_path: Path) -> None:
    figures = ElsewhereFigures(Registry(tmp_path))
    meter = figures.remote("m", "shared")
    transport = Scripted()
    only = Server(
        "http://s",
        transport,
        Breaker(monotonic, threshold=1, pause=30),
        concurrency=8,
        queue=8,
        meter=meter.server("http://s"),
    )
    one = OipBackend("m", lambda: [only], SIGNATURE, when_down="fail", meter=meter)

    def requests(outcome: str) -> float:
        return figures.requests.of("m", "shared", "http://s", outcome).value

    async def not_at_first() -> None:
        if transport.calls == 1:
            only.breaker.succeeded()
            assert figures.outstanding.of("m", "shared", "http://s").value == 1

    transport.act = not_at_first
    await infer(one)
    transport.act = fails(InvalidTensor("shape"))
    with pytest.raises(InvalidTensor):
        await infer(one)
    assert (requests("success"), requests("refused"), requests("failed")) == (1, 1, 0)
    assert figures.open.of("m", "shared", "http://s").value == 0
    transport.act = fails(ModelUnavailable("broke off"))
    with pytest.raises(ModelUnavailable):
        await infer(one)
    assert requests("failed") == 1
    assert figures.open.of("m", "shared", "http://s").value == 1
    assert figures.outstanding.of("m", "shared", "http://s").value == 0


async def test_retries_are_counted(tmp_path: Path) -> None:
    meter = ElsewhereFigures(Registry(tmp_path)).remote("m", "shared")
    transport = Scripted()

    async def act() -> None:
        if transport.calls < 3:
            raise NotSent("away")

    transport.act = act
    one = OipBackend("m", lambda: [server(transport)], SIGNATURE, meter=meter)
    await infer(one)
    assert meter.retries.value == 2
