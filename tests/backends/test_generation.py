"""Generations as an edge has them: what it says to the worker, and what it does not believe."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support.liars import Den, Liar, den
from wasmind.errors import (
    ContextFull,
    EndOfSequence,
    InferenceTimeout,
    ModelDied,
    ModelUnavailable,
    RuntimeFailed,
    TooLarge,
)
from wasmind.models.metered import MeteredBackend
from wasmind.nn.context import ExecutionContext, Timing
from wasmind.nn.graph import Graph
from wasmind.nn.memory import Memory
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry, merged
from wasmind.worker.runtimes.ggml import SIGNATURE
from wasmind.worker.wire import Cancel, Done, Failed, Forget, Infer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasmind.backends.leases import ProcessOutputs
    from wasmind.backends.process import ProcessBackend
    from wasmind.nn.backend import Generation

PROMPT = Tensor(TensorType.U8, (5,), b"hello")
NOTHING = Tensor(TensorType.U8, (0,), b"")
INPUTS = PROMPT, NOTHING, NOTHING
USAGE = b'{"input_tokens":5,"output_tokens":1,"finish":null}'


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[ProcessBackend, Den]]:
    async with den(tmp_path, SIGNATURE) as made:
        yield made


def taken(generation: Generation, *inputs: Tensor, seconds: float = 5.0) -> asyncio.Task[ProcessOutputs]:
    loop = asyncio.get_running_loop()
    return loop.create_task(generation.step(inputs, loop.time() + seconds, "t"))  # type: ignore[arg-type]


def told(number: int, text: bytes, usage: bytes = USAGE) -> Done:
    return Done(number, ((len(text),), (len(usage),)), (text, usage), 1, 2, 1)


async def begun(backend: ProcessBackend, liar: Liar, generation: Generation) -> Infer:
    first = taken(generation, *INPUTS)
    asked = await liar.asked()
    liar.say(told(asked.call, b"a"))
    outputs = await first
    assert bytes(outputs.tensors[0].data) == b"a"
    outputs.release()
    return asked


async def test_the_first_step_has_the_inputs_and_the_others_its_number(
    place: tuple[ProcessBackend, Den],
) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    one, other = backend.generation(), backend.generation()
    first = await begun(backend, liar, one)
    assert first.generation
    assert [bytes(part) for part in first.data if not isinstance(part, int)] == [b"hello", b"", b""]
    assert (await begun(backend, liar, other)).generation not in (0, first.generation)
    step = taken(one)
    asked = await liar.asked()
    assert (asked.generation, asked.dims, asked.data) == (first.generation, (), ())
    liar.say(told(asked.call, b"b"))
    (await step).release()
    one.close()
    one.close()
    assert await liar.hear() == Forget(first.generation)


async def test_one_that_is_left_during_a_step_is_cancelled_and_then_forgotten(
    place: tuple[ProcessBackend, Den],
) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    generation = backend.generation()
    number = (await begun(backend, liar, generation)).generation
    step = taken(generation)
    asked = await liar.asked()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    generation.close()
    assert [await liar.hear(), await liar.hear()] == [Cancel(asked.call), Forget(number)]


async def test_one_that_never_began_leaves_no_word(place: tuple[ProcessBackend, Den]) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    backend.generation().close()
    last = backend.generation()
    await begun(backend, liar, last)  # is the first that it hears


async def test_steps_pass_calls_that_wait_for_their_turn(place: tuple[ProcessBackend, Den]) -> None:
    """A worker whose places are taken answers no beginning before somebody's step: so steps do not wait."""
    backend, where = place
    backend.open()
    liar = await where.meet()
    generation = backend.generation()
    number = (await begun(backend, liar, generation)).generation
    waiting = [taken(backend.generation(), *INPUTS) for _ in range(40)]  # more than its window
    await asyncio.sleep(0)
    step = taken(generation)
    asked = await liar.asked()
    while asked.generation != number:
        asked = await liar.asked()
    liar.say(told(asked.call, b"b"))
    (await step).release()
    for each in waiting:
        each.cancel()


@pytest.mark.parametrize(
    ("code", "kind"),
    [("end-of-sequence", EndOfSequence), ("context-full", ContextFull), ("?", RuntimeFailed)],
)
async def test_why_there_are_no_more_steps(
    place: tuple[ProcessBackend, Den], code: str, kind: type[Exception]
) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    generation = backend.generation()
    await begun(backend, liar, generation)
    step = taken(generation)
    liar.say(Failed((await liar.asked()).call, code, "words"))
    with pytest.raises(kind, match="words"):
        await step


async def test_a_step_that_takes_too_long(place: tuple[ProcessBackend, Den]) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    generation = backend.generation()
    await begun(backend, liar, generation)
    with pytest.raises(InferenceTimeout):
        await taken(generation, seconds=0.05)


async def test_another_connection_knows_nothing_of_it(place: tuple[ProcessBackend, Den]) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    generation = backend.generation()
    await begun(backend, liar, generation)
    liar.close()
    other = await where.meet()
    with pytest.raises(ModelDied, match="with it"):
        await taken(generation)
    generation.close()
    await begun(backend, other, backend.generation())


async def test_a_model_that_is_gone_writes_no_more(place: tuple[ProcessBackend, Den]) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    generation = backend.generation()
    await begun(backend, liar, generation)
    backend.suspend("it was removed")
    with pytest.raises(ModelUnavailable, match="unavailable"):
        await taken(generation)
    with pytest.raises(ModelUnavailable):
        await taken(backend.generation(), *INPUTS)


# --- a context over a worker that lies ----------------------------------------------------------------------


def context(backend: Any, limit: int = 1 << 20, deadline: float = 5.0) -> ExecutionContext:
    made = ExecutionContext(Graph("m", backend, deadline), Memory(limit), Timing(), "t")
    made.set_input(0, TensorType.U8, (5,), b"hello")
    return made


async def endless(liar: Liar, text: bytes) -> None:
    while True:
        message = await liar.hear()
        if isinstance(message, Infer):
            liar.say(told(message.call, text))


async def test_an_endless_text_ends_by_the_deadline_or_the_guests_memory(
    place: tuple[ProcessBackend, Den],
) -> None:
    backend, where = place
    backend.open()
    talking = asyncio.create_task(endless(await where.meet(), b"x" * 4000))
    full = context(backend, limit=100_000)
    with pytest.raises(TooLarge):
        await full.compute()
    late = context(backend, 1 << 40, deadline=0.2)
    with pytest.raises(InferenceTimeout):
        await late.compute()
    full.close()
    late.close()
    talking.cancel()


async def test_a_text_that_ends_before_it_begins_is_no_text(place: tuple[ProcessBackend, Den]) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    made = context(backend)
    computing = asyncio.create_task(made.compute())
    liar.say(Failed((await liar.asked()).call, "end-of-sequence", "over"))
    with pytest.raises(RuntimeFailed, match="before it began"):
        await computing
    made.close()


@pytest.mark.parametrize("closed", ["during", "between"])
async def test_a_guest_that_ends_forgets_its_text(place: tuple[ProcessBackend, Den], closed: str) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    made = context(backend)
    first = asyncio.create_task(made.compute_single())
    asked = await liar.asked()
    liar.say(told(asked.call, b"a"))
    await first
    if closed == "during":
        second = asyncio.create_task(made.compute_single())
        await liar.asked()
        made.close()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert isinstance(await liar.hear(), Cancel)
    else:
        made.close()
    assert await liar.hear() == Forget(asked.generation)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (USAGE, True),
        (b'{"input_tokens":-1,"output_tokens":1}', False),
        (b'{"input_tokens":1e300,"output_tokens":1}', False),
        (b"\xff", False),
        (b"", False),
    ],
)
async def test_tokens_are_counted_if_they_can_be_believed(
    place: tuple[ProcessBackend, Den], tmp_path: Path, usage: bytes, counted: bool
) -> None:
    backend, where = place
    backend.open()
    liar = await where.meet()
    registry = Registry(tmp_path)
    metered = MeteredBackend(backend, EdgeFigures(registry).model("m", "shared"))
    wanted: list[str] = []
    metered.want = wanted.append
    generation = metered.generation()
    step = taken(generation, *INPUTS)
    liar.say(told((await liar.asked()).call, b"a", usage))
    (await step).release()
    generation.close()
    generation.close()
    registry.close()
    text = merged(tmp_path).decode()
    assert wanted == ["t"]
    assert metered.used > 0
    assert 'wasmind_inferences_total{model="m",outcome="success",scope="shared"} 1.0' in text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if "_tokens_total{" in line)
    found = {name.partition("{")[0]: float(value) for name, value in lines.items()}
    expected = {"wasmind_prompt_tokens_total": 5.0, "wasmind_generated_tokens_total": 1.0}
    assert found == (expected if counted else {})
