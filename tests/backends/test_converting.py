"""A model elsewhere with what converts before and after it; every step is scripted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest

from wasmind.backends.converting import ConvertingBackend
from wasmind.errors import (
    ConversionFailed,
    InferenceTimeout,
    ModelBusy,
    ModelDied,
    ModelUnavailable,
    NnError,
    RuntimeFailed,
    UnsupportedOperation,
)
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

F32, U8 = TensorType.F32, TensorType.U8
SERVED = Signature(
    (TensorSpec("x", F32, (None, 1)), TensorSpec("mask", F32, (None, 1))), (TensorSpec("y", F32, (None, 1)),)
)
SEEN = Signature((TensorSpec("x", U8, (1,)), TensorSpec("mask", F32, (1, 1))), (TensorSpec("y", U8, (1,)),))
OUTPUTS = Signature((*SERVED.outputs, SERVED.inputs[1]), SEEN.outputs)
STEPS = ("inputs", "model", "outputs")


def tensor(text: bytes, dims: tuple[int, ...] = (1, 1)) -> Tensor:
    return Tensor(F32, dims, text)


class Held:
    """What a step gave."""

    def __init__(self, step: Step, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors
        self.queue_ns, self.compute_ns = 1, 10
        self._step = step
        step.held += 1

    def release(self) -> None:
        if self._step.held:
            self._step.held -= 1


class Step:
    """One of the three: says its name over what it gets."""

    signature = SERVED

    def __init__(self, name: str, act: Callable[[], Awaitable[None]] | None = None) -> None:
        self.name, self.act = name, act
        self.given: list[tuple[Tensor, ...]] = []
        self.deadlines: list[float] = []
        self.held = self.canceled = 0
        self.answer: tuple[Tensor, ...] | None = None

    def lease(self, size: int) -> NoReturn:
        raise LookupError(self.name)

    def generation(self) -> NoReturn:
        raise UnsupportedOperation("no steps")

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Held:
        assert tenant == "t"
        self.given.append(inputs)
        self.deadlines.append(deadline)
        try:
            if self.act is not None:
                await self.act()
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        names = self.name.encode()
        found = [tensor(bytes(one.data) + names) for one in inputs]
        return Held(self, self.answer or tuple(found if self.name == "inputs" else found[:1]))


class Chain:
    """A backend of scripted steps."""

    def __init__(self, *names: str, **acts: Callable[[], Awaitable[None]]) -> None:
        self.steps = {name: Step(name, acts.get(name)) for name in names or STEPS}
        inputs, outputs = self.steps.get("inputs"), self.steps.get("outputs")
        self.backend = ConvertingBackend("m", self.steps["model"], inputs, outputs)
        self.learn()

    def learn(self, served: Signature = SERVED) -> bool:
        return self.backend.learn(SEEN, served, OUTPUTS if "outputs" in self.steps else None)

    async def run(self) -> tuple[bytes, int, int]:
        outputs = await self.backend.infer((tensor(b"x:"), tensor(b"m:")), 7.0, "t")
        found = bytes(outputs.tensors[0].data), outputs.queue_ns, outputs.compute_ns
        outputs.release()
        return found

    @property
    def held(self) -> int:
        return sum(step.held for step in self.steps.values())


def failing(error: NnError) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (STEPS, (b"x:inputsmodeloutputs", 3, 30)),
        (("inputs", "model"), (b"x:inputsmodel", 2, 20)),
        (("model", "outputs"), (b"x:modeloutputs", 2, 20)),
    ],
)
async def test_each_step_has_what_the_one_before_gave_and_their_times_add_up(
    names: tuple[str, ...], found: tuple[bytes, int, int]
) -> None:
    chain = Chain(*names)
    assert await chain.run() == found
    assert chain.held == 0
    assert {deadline for step in chain.steps.values() for deadline in step.deadlines} == {7.0}


async def test_the_conversion_of_outputs_has_the_inputs_that_the_servers_had() -> None:
    chain = Chain()
    await chain.run()
    ((answer, mask),) = chain.steps["outputs"].given
    assert (bytes(answer.data), bytes(mask.data)) == (b"x:inputsmodel", b"m:inputs")


async def test_no_memory_of_a_process_is_held_while_the_servers_work() -> None:
    async def look() -> None:
        assert chain.steps["inputs"].held == 0

    chain = Chain(model=look)
    await chain.run()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "error",
    [ConversionFailed("no photo"), ModelBusy("full"), ModelDied("gone"), InferenceTimeout("late")],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_a_step_is_the_inference_s_and_leaves_nothing(step: str, error: NnError) -> None:
    chain = Chain(**{step: failing(error)})
    with pytest.raises(type(error)) as caught:
        await chain.run()
    assert caught.value is error
    assert chain.held == 0
    later = STEPS[STEPS.index(step) + 1 :]
    assert not any(chain.steps[name].given for name in later)


@pytest.mark.parametrize("step", STEPS)
async def test_cancelling_it_cancels_the_step_under_way(step: str) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    chain = Chain(**{step: hang})
    running = asyncio.ensure_future(chain.run())
    while not chain.steps[step].given:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert chain.steps[step].canceled == 1
    assert chain.held == 0


@pytest.mark.parametrize("dims", [(1,), (1, 2), (1, 1, 1)])
async def test_an_answer_of_another_shape_than_told_is_not_converted(dims: tuple[int, ...]) -> None:
    chain = Chain()
    chain.steps["model"].answer = (tensor(b"", dims),)
    with pytest.raises(RuntimeFailed, match="'y'"):
        await chain.run()
    assert not chain.steps["outputs"].given
    assert chain.held == 0


async def test_an_answer_of_no_rows_is_converted() -> None:
    chain = Chain()
    chain.steps["model"].answer = (tensor(b"", (0, 1)),)
    assert (await chain.run())[0] == b"outputs"


@pytest.mark.parametrize("step", ["inputs", "model"])
async def test_servers_that_change_their_model_meanwhile(step: str) -> None:
    async def change() -> None:
        chain.learn(Signature(SERVED.inputs, (TensorSpec("z", F32, None),)))

    chain = Chain(**{step: change})
    with pytest.raises(ModelUnavailable, match="another model"):
        await chain.run()
    assert chain.held == 0


def test_what_functions_see() -> None:
    chain = Chain()
    assert chain.backend.signature == SEEN
    assert chain.learn(), "the same again"
    with pytest.raises(LookupError, match="inputs"):
        chain.backend.lease(1)
    with pytest.raises(LookupError, match="model"):
        Chain("model", "outputs").backend.lease(1)
    with pytest.raises(UnsupportedOperation):
        chain.backend.generation()
    with pytest.raises(ModelUnavailable):
        _ = ConvertingBackend("m", chain.steps["model"]).signature
