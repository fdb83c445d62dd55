"""Language models through both ABIs, over the confined worker."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import BUFFER, DATA, F32, NAME, OUT, U8, Caller
from support.gguf_models import CONTEXT, tiny
from support.workers import Client, Standing, standing
from wasmind.config import Limits, Size
from wasmind.errors import EndOfSequence, InvalidArgument, TooLarge
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from wasmind.sandbox import Program

END, FULL, LONG = 100, 101, 102
OPTIONS = b'{"temp": 0, "n-predict": 6, "ignore-eos": true}'


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    directory = tmp_path_factory.mktemp("language")
    with standing(tiny(directory / "tiny.gguf"), directory, encoding="ggml", runtime="ggml") as made:
        yield made


@pytest.fixture
async def client(process: Standing) -> AsyncIterator[Client]:
    async with process.client() as made:
        yield made


@pytest.fixture
def models(client: Client) -> FixedModels:
    return FixedModels(
        assistant=Graph("assistant", client.backend),
        linear=Graph("linear", OnnxBackend(onnx_models.linear())),
    )


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


async def prompted(guest: Caller, prompt: bytes = b"hello", options: bytes | None = OPTIONS) -> int:
    context = await guest.context("assistant")
    assert await guest.set_input(context, 0, (len(prompt),), U8, prompt) == 0
    if options is not None:
        assert await guest.set_input(context, 1, (len(options),), U8, options) == 0
    return context


async def single(guest: Caller, context: int, index: int = 0) -> bytes:
    assert await guest.call("get_output_single", context, index, BUFFER, 1024, OUT) == 0
    return guest.memory.read(BUFFER, guest.out)


async def text_by_steps(guest: Caller, context: int) -> tuple[bytes, int]:
    """The text, and the errno that ended it."""
    text = b""
    while True:
        errno = await guest.call("compute_single", context)
        if errno:
            return text, errno
        text += await single(guest, context)


# --- the core ABI -------------------------------------------------------------------------------------------


async def test_a_whole_text_and_its_usage(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await prompted(guest)
        assert await guest.call("compute", context) == 0, guest.notes
        errno, length, text = await guest.output(context, 0)
        assert (errno, length) == (0, len(text))
        usage = json.loads((await guest.output(context, 1))[2])
        assert (usage["input_tokens"], usage["output_tokens"], usage["finish"]) == (6, 6, "length")
        assert await guest.call("compute", context) == 0
        assert (await guest.output(context, 0))[2] == text
        assert guest.notes == []


async def test_token_by_token_as_wasmedge_guests_do(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await prompted(guest)
        assert await guest.call("compute", context) == 0
        whole = (await guest.output(context, 0))[2]
        assert await text_by_steps(guest, context) == (whole, END)
        assert json.loads(await single(guest, context, 1))["finish"] == "length"
        assert await guest.call("fini_single", context) == 0
        assert await guest.call("get_output_single", context, 0, BUFFER, 1024, OUT) == 1
        assert await text_by_steps(guest, context) == (whole, END)
        assert guest.run.guest.figures.inference_ns == guest.run.session.timing.waited_ns > 0
        assert len(guest.notes) == 1  # the output after fini_single; an end is nothing to explain


async def test_a_new_prompt_begins_a_new_text(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await prompted(guest)
        whole, _ = await text_by_steps(guest, context)
        assert await guest.call("compute_single", context) == 0
        assert await guest.set_input(context, 0, (5,), U8, b"other") == 0
        other, _ = await text_by_steps(guest, context)
        assert other != whole
        assert await guest.set_input(context, 0, (5,), U8, b"hello") == 0
        assert await text_by_steps(guest, context) == (whole, END)


async def test_settings_of_a_graph(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        for wait in (False, True):
            models.wait = wait
            config = b'{"temp": 0, "n-predict": 3, "ignore-eos": true, "enable-log": true}'
            guest.memory.write(NAME, b"assistant")
            guest.memory.write(DATA, config)
            assert await guest.call("load_by_name_with_config", NAME, 9, DATA, len(config), OUT) == 0
            assert await guest.call("init_execution_context", guest.out, OUT) == 0
            context = guest.out
            assert await guest.set_input(context, 0, (5,), U8, b"hello") == 0
            assert await guest.call("compute", context) == 0
            assert json.loads((await guest.output(context, 1))[2])["output_tokens"] == 3
            assert await guest.set_input(context, 1, (15,), U8, b'{"n_predict":5}') == 0
            assert await guest.call("compute", context) == 0
            assert json.loads((await guest.output(context, 1))[2])["output_tokens"] == 5
        assert guest.notes == []


async def test_the_errnos_of_what_is_too_long(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await prompted(guest, b"x" * CONTEXT)
        assert await guest.call("compute", context) == LONG
        assert await guest.call("compute_single", context) == LONG
        context = await prompted(guest, b"x" * (CONTEXT - 4), b'{"temp": 0, "ignore-eos": true}')
        assert await guest.call("compute", context) == FULL
        text = (await guest.output(context, 0))[2]
        assert text  # what there is of it
        assert await text_by_steps(guest, context) == (text, FULL)
        assert "generation.context" in guest.notes[-1]


async def test_what_is_wrong_is_explained(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await prompted(guest, options=b'{"temprature": 0}')
        assert await guest.call("compute_single", context) == 1
        assert "no option 'temprature'" in guest.notes[-1]
        assert "temp" in guest.notes[-1]
        assert await guest.set_input(context, 0, (1,), F32, struct.pack("<f", 1)) == 1
        fresh = await guest.context("assistant")
        assert await guest.call("compute_single", fresh) == 1
        assert "without input 0 (prompt" in guest.notes[-1]
        for name in ("compute_single", "fini_single"):
            assert await guest.call(name, 99) == 1
        assert await guest.call("get_output_single", 99, 0, BUFFER, 10, OUT) == 1


async def test_other_models_give_their_outputs_at_once(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context("linear")
        assert await guest.set_input(context, 0, (1, 4), F32, struct.pack("<4f", 1, 2, 3, 4)) == 0
        assert await guest.call("compute_single", context) == 6
        assert "call compute instead" in guest.notes[-1]
        assert await guest.call("fini_single", context) == 0
        config = b'{"n-predict": 3}'
        guest.memory.write(NAME, b"linear")
        guest.memory.write(DATA, config)
        assert await guest.call("load_by_name_with_config", NAME, 6, DATA, len(config), OUT) == 0
        assert "n-predict have no effect" in guest.notes[-1]


async def test_a_guest_that_ends_leaves_nothing_behind(
    ephemeral: Program, models: FixedModels, client: Client
) -> None:
    for _ in range(5):  # more than there are places
        async with Caller(ephemeral, models) as guest:
            context = await prompted(guest)
            assert await guest.call("compute_single", context) == 0
        assert guest.run.session.memory_used == 0
    await client.settled()


# --- components: the session that their calls come to -------------------------------------------------------


class Component:
    """What a component does, by the session's calls."""

    def __init__(self, models: FixedModels, limits: Limits | None = None) -> None:
        self.session = Session(models, limits or Limits(), "acme")

    async def begin(self) -> int:
        graph = self.session.load_by_name("assistant")
        assert isinstance(graph, int)
        return self.session.init_execution_context(graph)

    async def compute(self, context: int, **inputs: bytes) -> dict[str, bytes]:
        given = [
            (name, self.session.new_tensor(TensorType.U8, (len(data),), data))
            for name, data in inputs.items()
        ]
        outputs = await self.session.compute(context, given)
        found = {name: bytes(self.session.tensor(handle).data) for name, handle in outputs}
        for _, handle in (*given, *outputs):
            self.session.drop_tensor(handle)
        return found


async def test_a_component_streams_when_its_options_say_so(models: FixedModels) -> None:
    guest = Component(models)
    context = await guest.begin()
    whole = await guest.compute(context, prompt=b"hello", options=OPTIONS)
    streamed = json.dumps(json.loads(OPTIONS) | {"stream": True}).encode()
    pieces = [await guest.compute(context, prompt=b"hello", options=streamed)]
    pieces += [await guest.compute(context) for _ in range(6)]
    with pytest.raises(EndOfSequence):
        await guest.compute(context)
    assert b"".join(piece["text"] for piece in pieces) == whole["text"]
    assert [json.loads(piece["usage"])["finish"] for piece in pieces] == [None] * 6 + ["length"]
    assert pieces[-1]["usage"] == whole["usage"]
    with pytest.raises(InvalidArgument, match="without input 0"):
        await guest.compute(context)
    guest.session.close()
    assert guest.session.memory_used == 0


@pytest.mark.parametrize("told", [{}, {"stream": 1}, {"stream": False}], ids=str)
async def test_otherwise_it_gets_the_whole_text(models: FixedModels, told: dict[str, Any]) -> None:
    guest = Component(models)
    context = await guest.begin()
    options = json.dumps(json.loads(OPTIONS) | told).encode()
    outputs = await guest.compute(context, prompt=b"hello", options=options)
    assert json.loads(outputs["usage"])["output_tokens"] == 6
    guest.session.close()


@pytest.mark.parametrize("options", [b"[]", b"{", b"\xff"], ids=str)
async def test_options_that_are_none_are_refused(models: FixedModels, options: bytes) -> None:
    guest = Component(models)
    context = await guest.begin()
    with pytest.raises(InvalidArgument, match="no JSON object"):
        await guest.compute(context, prompt=b"hello", options=options)
    guest.session.close()


async def test_a_text_that_does_not_fit_the_guests_memory_is_refused(models: FixedModels) -> None:
    guest = Component(models, Limits(nn_memory=Size(2000)))
    context = await guest.begin()
    with pytest.raises(TooLarge):
        await guest.compute(
            context, prompt=b"x" * 100, options=b'{"n-predict":140,"ignore-eos":true}' + b" " * 1500
        )
    guest.session.close()
    assert guest.session.memory_used == 0


async def test_a_graph_from_bytes_may_bring_its_settings(models: FixedModels) -> None:
    asked: list[Any] = []

    class Loading:
        allow_load = True

        async def load(self, builders: tuple[bytes, ...], encoding: Encoding, _target: Target) -> Graph:
            asked.append((builders, encoding))
            return models.graphs["assistant"]

    session = Session(Loading(), Limits(), "acme")  # type: ignore[arg-type]
    graph = await session.load(
        (b"GGUF....", b'{"n-predict": 2, "ignore-eos": true}'), Encoding.AUTODETECT, Target.CPU
    )
    assert asked == [((b"GGUF....",), Encoding.GGML)]
    context = session.context(session.init_execution_context(graph))
    context.set_input(0, TensorType.U8, (5,), b"hello")
    await context.compute()
    assert json.loads(bytes(context.output(1).data))["output_tokens"] == 2
    session.close()
