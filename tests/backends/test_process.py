"""Inferences through a real, confined process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.garbage import leaves_nothing
from support.onnx_models import FLOAT, I64, gather, identity, linear, model, node, slow
from support.workers import array_of, f32, served, standing, tensor
from wasmind.backends.process import ProcessBackend
from wasmind.errors import (
    InferenceTimeout,
    ModelBusy,
    ModelDied,
    ModelUnavailable,
    RuntimeFailed,
    TooLarge,
)
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.worker.wire import INLINE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.workers import Client, Standing

ONES = np.ones((1, 4), np.float32)


def many(*dims: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(dims).astype(np.float32)


BIG = np.zeros((400, 400), np.float32)


def seconds_from_now(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.fixture(scope="module")
def identity_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(identity(FLOAT, ("N",)), tmp_path_factory.mktemp("identity")) as made:
        yield made


@pytest.fixture(scope="module")
def slow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(slow(2), tmp_path_factory.mktemp("slow"), warm_up=False) as made:
        yield made


@pytest.fixture
async def same(identity_process: Standing) -> AsyncIterator[Client]:
    """y = x for f32 [N]."""
    async with identity_process.client() as made:
        yield made


@pytest.fixture
async def line(linear_process: Standing) -> AsyncIterator[Client]:
    """y = 2x + 1 for f32 [1,4]."""
    async with linear_process.client() as made:
        yield made


@pytest.fixture
async def slowly(slow_process: Standing) -> AsyncIterator[Client]:
    """y = 2x for f32 [N,1], after some seconds."""
    async with slow_process.client() as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, INLINE // 4, INLINE // 4 + 1, 150_528, 3_000_000])
async def test_tensors_of_every_size_come_back_as_they_went(same: Client, size: int) -> None:
    x = many(size)
    for _ in range(3):
        (y,) = await same.infer(x)
        assert y.tobytes() == x.tobytes()
    await same.settled()


@pytest.mark.parametrize("size", [1, 150_528])
async def test_what_an_inference_made_is_freed_with_it(same: Client, size: int) -> None:
    x = many(size)
    await leaves_nothing(lambda: same.infer(x))


async def test_what_a_refused_inference_made_is_freed_with_it(line: Client) -> None:
    async def refused() -> None:
        with pytest.raises(RuntimeFailed):
            await line.infer(many(1, 5))

    await leaves_nothing(refused)


async def test_private_memory_does_as_well_as_leased(tmp_path: Path) -> None:
    async with served(identity(FLOAT, ("N", 2)), tmp_path) as made:
        x = many(3000, 2)
        for data in (x.tobytes(), bytearray(x.tobytes()), memoryview(x.tobytes())):
            given = Tensor(TensorType.F32, x.shape, data)
            outputs = await made.backend.infer((given,), seconds_from_now(5), "t")
            assert array_of(outputs.tensors[0]).tobytes() == x.tobytes()
            outputs.release()
        await made.settled()


async def test_a_lease_may_serve_several_inferences(same: Client) -> None:
    await same.infer(f32(1))
    x = many(5000)
    lease = same.backend.lease(x.nbytes)
    lease.view[:] = x.tobytes()
    given = Tensor(TensorType.F32, x.shape, lease.view)
    for _ in range(3):
        outputs = await same.backend.infer((given,), seconds_from_now(5), "t")
        assert array_of(outputs.tensors[0]).tobytes() == x.tobytes()
        outputs.release()
    lease.release()
    await same.settled()


async def test_the_figures_add_up(tmp_path: Path) -> None:
    async with served(slow(0.05), tmp_path, warm_up=False) as made:
        began = time.perf_counter_ns()
        outputs = await made.backend.infer(
            (tensor(np.ones((1, 1), np.float32)), tensor(BIG)), seconds_from_now(20), "t"
        )
        took = time.perf_counter_ns() - began
        assert 0 < outputs.compute_ns < took
        assert 0 <= outputs.queue_ns < took
        assert outputs.compute_ns > took / 4
        assert outputs.batch == 1
        outputs.release()


async def test_outputs_whose_size_only_the_run_tells(tmp_path: Path) -> None:
    """The first answer is fetched; the next of that shape has its place ready, which may be wrong."""
    data = model([node("NonZero", ["x"], ["y"])], [("x", FLOAT, ["N"])], [("y", I64, [1, "M"])])
    async with served(data, tmp_path) as made:
        for count in (0, 10, 3000, 3000, 20, 5000, 0):
            x = np.zeros(5000, np.float32)
            x[:count] = 1
            (y,) = await made.infer(x)
            assert y.tolist() == [list(range(count))]
        await made.settled()


async def test_a_signature_that_is_wrong_about_sizes_does_no_harm(tmp_path: Path) -> None:
    data = model([node("NonZero", ["x"], ["y"])], [("x", FLOAT, ["N"])], [("y", I64, [1, "N"])])
    async with served(data, tmp_path) as made:
        for count in (1000, 3, 0):
            x = np.zeros(1000, np.float32)
            x[:count] = 1
            assert (await made.infer(x))[0].tolist() == [list(range(count))]
        await made.settled()


async def test_several_inputs_and_outputs_in_their_order(tmp_path: Path) -> None:
    data = model(
        [node("Sub", ["b", "a"], ["d"]), node("Add", ["a", "b"], ["s"]), node("Shape", ["a"], ["n"])],
        [("b", FLOAT, ["N"]), ("a", FLOAT, ["N"])],
        [("s", FLOAT, ["N"]), ("n", I64, [1]), ("d", FLOAT, ["N"])],
    )
    async with served(data, tmp_path) as made:
        for size in (3, 5000):
            b, a = many(size), many(size) + 1
            s, n, d = await made.infer(b, a)
            assert np.array_equal(s, a + b)
            assert n.tolist() == [size]
            assert np.array_equal(d, b - a)
        await made.settled()


async def test_the_frameworks_words_come_with_their_meaning(tmp_path: Path) -> None:
    async with served(gather(), tmp_path) as made:
        with pytest.raises(RuntimeFailed, match="out of data bounds") as caught:
            await made.infer(np.array([7], np.int64))
        assert "index 7" in (caught.value.cause or "")
        assert (await made.infer(np.array([1], np.int64)))[0].tolist() == [[2.0, 3.0]]
        await made.settled()


async def test_ten_thousand_may_wait_and_all_are_answered(line: Client) -> None:
    await line.infer(ONES)
    given = (tensor(ONES),)

    async def one(number: int) -> None:
        outputs = await line.backend.infer(given, seconds_from_now(60), f"tenant{number % 3}")
        assert outputs.tensors[0].dims == (1, 4)
        outputs.release()

    tasks = [asyncio.create_task(one(number)) for number in range(10_000)]
    await asyncio.sleep(0)
    assert line.backend.waiting == 10_000
    assert line.backend._link is not None
    assert len(line.backend._link.calls) <= 256
    await asyncio.gather(*tasks)
    assert line.backend.waiting == 0
    await line.settled()


async def test_more_than_may_wait_are_turned_away(linear_process: Standing) -> None:
    async with linear_process.client(queue=10) as made:
        calls = [asyncio.create_task(made.infer(ONES)) for _ in range(15)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, ModelBusy) for result in results) == 5
        assert sum(isinstance(result, list) for result in results) == 10


class TestDeadlines:
    async def test_a_slow_run_is_given_up_and_ended(self, slowly: Client) -> None:
        x = np.ones((1, 1), np.float32)
        began = time.monotonic()
        with pytest.raises(InferenceTimeout, match="did not answer before the deadline"):
            await slowly.infer(x, BIG, seconds=0.15)
        assert time.monotonic() - began < 0.6
        await slowly.settled()
        assert time.monotonic() - began < 1.5  # the run was ended, not waited for

    async def test_calls_behind_it_are_not_run_when_their_deadline_passed(self, tmp_path: Path) -> None:
        async with served(slow(1.2), tmp_path, warm_up=False) as made:
            x = np.ones((1, 1), np.float32)
            first = asyncio.create_task(made.infer(x, BIG))
            await asyncio.sleep(0.05)
            late = [asyncio.create_task(made.infer(x, BIG, seconds=0.1)) for _ in range(5)]
            for task in late:
                with pytest.raises(InferenceTimeout):
                    await task
            began = time.monotonic()
            assert (await first)[0].tolist() == [[2.0]]
            await made.settled()
            assert time.monotonic() - began < 2

    async def test_one_that_passed_already_is_told_so(self, line: Client) -> None:
        with pytest.raises(InferenceTimeout):
            await line.infer(ONES, seconds=-1)
        assert (await line.infer(ONES, seconds=float("inf")))[0].tolist() == [[3.0] * 4]
        await line.settled()


class TestCancelling:
    async def test_a_run_under_way_is_ended_and_its_slot_free(self, slowly: Client) -> None:
        x = np.ones((1, 1), np.float32)
        task = asyncio.create_task(slowly.infer(x, BIG))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 0.1
        await slowly.settled()
        assert time.monotonic() - began < 1

    async def test_memory_stays_taken_until_the_worker_is_done_with_it(self, tmp_path: Path) -> None:
        async with served(slow(0.3), tmp_path, warm_up=False) as made:
            await made.infer(np.ones((1, 1), np.float32), BIG)
            assert made.backend._link is not None
            os.kill(made.process.pid, signal.SIGSTOP)
            task = asyncio.create_task(made.infer(np.ones((1, 1), np.float32), BIG))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.sleep(0.05)
            assert made.backend._link.space.arena.used >= BIG.nbytes
            os.kill(made.process.pid, signal.SIGCONT)
            await made.settled()

    async def test_cancelling_at_any_moment_loses_nothing(self, same: Client) -> None:
        x = many(3000)
        random = np.random.default_rng(5)
        for _ in range(20):
            tasks = [asyncio.create_task(same.infer(x)) for _ in range(12)]
            await asyncio.sleep(float(random.random()) * 0.003)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                assert isinstance(result, asyncio.CancelledError) or result[0].tobytes() == x.tobytes()
        await same.settled()


class TestSharedMemory:
    async def test_what_does_not_fit_at_all_is_refused(self, identity_process: Standing) -> None:
        async with identity_process.client(shared_memory=1 << 20) as made:
            with pytest.raises(TooLarge, match="shared memory of 1048576 bytes"):
                await made.infer(many(1 << 19))
            assert (await made.infer(f32(1)))[0].tolist() == [1]
            await made.settled()

    async def test_calls_wait_for_room_and_all_are_answered(self, identity_process: Standing) -> None:
        async with identity_process.client(shared_memory=1 << 20) as made:
            x = many(40_000)  # six of them fill it
            results = await asyncio.gather(*(made.infer(x) for _ in range(60)))
            assert all(y.tobytes() == x.tobytes() for (y,) in results)
            await made.settled()

    async def test_when_it_stays_full_the_call_is_told(self, identity_process: Standing) -> None:
        async with identity_process.client(shared_memory=1 << 20) as made:
            await made.infer(f32(1))
            hogs = [made.backend.lease(1 << 18) for _ in range(4)]
            x = many(70_000)
            with pytest.raises(ModelBusy, match="was full until the deadline"):
                await made.infer(x, seconds=0.1)
            waiting = asyncio.create_task(made.infer(x))
            await asyncio.sleep(0.05)
            for hog in hogs:
                hog.release()
            assert (await waiting)[0].tobytes() == x.tobytes()
            await made.settled()


class TestDeath:
    async def test_calls_in_flight_are_told_why(self, tmp_path: Path) -> None:
        async with served(slow(5), tmp_path, warm_up=False) as made:
            tasks = [asyncio.create_task(made.infer(np.ones((1, 1), np.float32), BIG)) for _ in range(3)]
            await asyncio.sleep(0.2)
            os.kill(made.process.pid, signal.SIGKILL)
            made.backend.explain_death((await made.process.wait()).reason)
            for task in tasks:
                with pytest.raises(ModelDied, match=r"process died: killed by signal 9 \(SIGKILL\)"):
                    await task

    @pytest.mark.slow
    async def test_without_an_explanation_they_are_told_soon_all_the_same(self, tmp_path: Path) -> None:
        async with served(slow(5), tmp_path, warm_up=False) as made:
            task = asyncio.create_task(made.infer(np.ones((1, 1), np.float32), BIG))
            await asyncio.sleep(0.2)
            began = time.monotonic()
            os.kill(made.process.pid, signal.SIGKILL)
            with pytest.raises(ModelDied, match="how it died is not known"):
                await task
            assert time.monotonic() - began < 1

    @pytest.mark.slow
    async def test_an_explanation_that_comes_first_is_used(self, tmp_path: Path) -> None:
        async with served(slow(5), tmp_path, warm_up=False) as made:
            task = asyncio.create_task(made.infer(np.ones((1, 1), np.float32), BIG))
            await asyncio.sleep(0.2)
            made.backend.explain_death("the model's process died: evicted")
            os.kill(made.process.pid, signal.SIGKILL)
            with pytest.raises(ModelDied) as caught:
                await task
            assert caught.value.message == "the model's process died: evicted"

    async def test_the_next_ones_wait_for_the_new_process(self, tmp_path: Path) -> None:
        async with served(linear(), tmp_path) as made:
            await made.infer(ONES)
            os.kill(made.process.pid, signal.SIGKILL)
            await made.process.wait()
            waiting = [asyncio.create_task(made.infer(ONES)) for _ in range(20)]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in waiting)
            await made.restart()
            for task in waiting:
                assert (await task)[0].tolist() == [[3.0] * 4]
            await made.settled()

    async def test_they_wait_no_longer_than_their_deadline(self, tmp_path: Path) -> None:
        async with served(linear(), tmp_path) as made:
            await made.process.stop()
            with pytest.raises(InferenceTimeout, match="before the model 'model"):
                await made.infer(ONES, seconds=0.1)

    async def test_or_they_fail_at_once_by_policy(self, tmp_path: Path) -> None:
        async with served(linear(), tmp_path, when_down="fail") as made:
            assert (await made.infer(ONES))[0].tolist() == [[3.0] * 4]  # not yet connected is not down
            os.kill(made.process.pid, signal.SIGKILL)
            await made.process.wait()
            await asyncio.sleep(0.05)
            with pytest.raises(ModelUnavailable):
                await made.infer(ONES)
            await made.restart()
            await asyncio.sleep(0.2)
            assert (await made.infer(ONES))[0].tolist() == [[3.0] * 4]

    @pytest.mark.slow
    async def test_leases_of_the_old_connection_still_serve(self, tmp_path: Path) -> None:
        async with served(identity(FLOAT, ("N",)), tmp_path) as made:
            await made.infer(f32(1))
            x = many(5000)
            lease = made.backend.lease(x.nbytes)
            lease.view[:] = x.tobytes()
            os.kill(made.process.pid, signal.SIGKILL)
            await made.process.wait()
            await made.restart()
            given = Tensor(TensorType.F32, x.shape, lease.view)
            outputs = await made.backend.infer((given,), seconds_from_now(5), "t")
            assert array_of(outputs.tensors[0]).tobytes() == x.tobytes()
            outputs.release()
            lease.release()
            await made.settled()

    @pytest.mark.slow
    async def test_killed_again_and_again_under_load_every_call_ends(self, tmp_path: Path) -> None:
        async with served(identity(FLOAT, ("N",)), tmp_path) as made:
            x, ended, stop = many(3000), {"answered": 0, "died": 0}, False

            async def caller() -> None:
                while not stop:
                    try:
                        (y,) = await made.infer(x)
                        assert y.tobytes() == x.tobytes()
                        ended["answered"] += 1
                    except ModelDied:
                        ended["died"] += 1

            callers = [asyncio.create_task(caller()) for _ in range(16)]
            for _ in range(4):
                await asyncio.sleep(0.15)
                os.kill(made.process.pid, signal.SIGKILL)
                made.backend.explain_death((await made.process.wait()).reason)
                await made.restart()
            stop = True
            await asyncio.gather(*callers)
            assert ended["answered"] > 50
            assert ended["died"] >= 1
            await made.settled()


class TestLife:
    async def test_given_up_it_fails_at_once_until_it_is_resumed(self, tmp_path: Path) -> None:
        async with served(linear(), tmp_path) as made:
            os.kill(made.process.pid, signal.SIGKILL)
            await made.process.wait()
            waiting = asyncio.create_task(made.infer(ONES))
            await asyncio.sleep(0.05)
            made.backend.suspend("its process died 5 times in a row")
            for attempt in (waiting, made.infer(ONES)):
                with pytest.raises(ModelUnavailable) as caught:
                    await attempt
                assert caught.value.cause == "its process died 5 times in a row"
            await made.restart()
            made.backend.resume(made.ready.signature)
            assert (await made.infer(ONES))[0].tolist() == [[3.0] * 4]

    async def test_its_signature_is_unknown_until_somebody_tells(self, tmp_path: Path) -> None:
        async with served(linear(), tmp_path) as made:
            backend = ProcessBackend(made.backend._address, "later")
            with pytest.raises(ModelUnavailable):
                _ = backend.signature
            with pytest.raises(ModelUnavailable):
                await backend.infer((tensor(ONES),), seconds_from_now(1), "t")
            backend.resume(made.ready.signature)
            assert backend.signature == made.ready.signature
            outputs = await backend.infer((tensor(ONES),), seconds_from_now(5), "t")
            outputs.release()
            await backend.close()

    async def test_it_connects_when_somebody_listens_at_last(self, tmp_path: Path) -> None:
        async with served(linear(), tmp_path) as made:
            real = made.backend._address
            backend = ProcessBackend(real + ".later", "later", made.ready.signature)
            call = asyncio.create_task(backend.infer((tensor(ONES),), seconds_from_now(5), "t"))
            await asyncio.sleep(0.05)
            os.rename(real, real + ".later")
            (await call).release()
            os.rename(real + ".later", real)
            await backend.close()

    async def test_trying_to_connect_for_long_leaves_nothing_open(self, tmp_path: Path) -> None:
        signature = Signature((TensorSpec("x", TensorType.F32, (1, 4)),), ())
        backend = ProcessBackend(str(tmp_path / "nobody.sock"), "nobody", signature)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with pytest.raises(InferenceTimeout):
                await backend.infer((tensor(ONES),), seconds_from_now(0.02), "t")
        assert len(os.listdir("/proc/self/fd")) <= before + 1
        await backend.close()

    @pytest.mark.slow
    async def test_closing_ends_what_waits_and_what_runs(self, tmp_path: Path) -> None:
        async with served(slow(5), tmp_path, warm_up=False) as made:
            calls = [
                asyncio.create_task(made.infer(np.ones((1, 1), np.float32), BIG, seconds=60))
                for _ in range(10)
            ]
            await asyncio.sleep(0.2)
            await made.backend.close()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, ModelDied | ModelUnavailable) for result in results)
            with pytest.raises(ModelUnavailable):
                await made.infer(np.ones((1, 1), np.float32), BIG)

    async def test_draining_answers_what_was_accepted(self, tmp_path: Path) -> None:
        async with served(slow(0.15), tmp_path, warm_up=False) as made:
            x = np.ones((1, 1), np.float32)
            await made.infer(x, BIG)
            calls = [asyncio.create_task(made.infer(x, BIG)) for _ in range(3)]
            await asyncio.sleep(0.05)
            death = await made.process.stop(10)
            assert death.expected
            assert [(await call)[0].tolist() for call in calls] == [[[2.0]]] * 3

    @pytest.mark.slow
    async def test_draining_does_not_last_for_ever(self, tmp_path: Path) -> None:
        async with served(slow(20), tmp_path, warm_up=False) as made:
            call = asyncio.create_task(made.infer(np.ones((1, 1), np.float32), BIG))
            await asyncio.sleep(0.2)
            death = await made.process.stop(0.2)
            assert death.reason == "stopped: it had not finished after 0.2 s"
            with pytest.raises(ModelDied):
                await call

    async def test_two_edges_share_a_process(self, tmp_path: Path) -> None:
        async with served(identity(FLOAT, ("N",)), tmp_path) as made:
            other = ProcessBackend(made.backend._address, "other", made.ready.signature)
            x = many(5000)
            for backend in (made.backend, other) * 3:
                outputs = await backend.infer((tensor(x),), seconds_from_now(5), "t")
                assert array_of(outputs.tensors[0]).tobytes() == x.tobytes()
                outputs.release()
            await other.close()
            assert (await made.infer(x))[0].tobytes() == x.tobytes()
