"""GGUF models in the confined worker: texts, steps, limits, refusals."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.gguf_models import CONTEXT, smollm2, tiny
from support.workers import Client, Standing, served, spec_of, standing, tensor
from wasmind.config import Generation
from wasmind.errors import (
    ContextFull,
    EndOfSequence,
    InferenceTimeout,
    InvalidArgument,
    InvalidEncoding,
    ModelDied,
    ModelLoadFailed,
    NnError,
    PromptTooLong,
    UnsupportedOperation,
)
from wasmind.worker.runtimes import llama
from wasmind.worker.runtimes.base import framework
from wasmind.worker.runtimes.ggml import BATCH, Runtime
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from wasmind.nn.backend import Generation as Steps

GGML: dict[str, Any] = {"encoding": "ggml", "runtime": "ggml"}
GREEDY = {"temp": 0, "n-predict": 12}
EMPTY = np.zeros(0, np.uint8)


def u8(text: bytes | str) -> np.ndarray[Any, Any]:
    return np.frombuffer(text if isinstance(text, bytes) else text.encode(), np.uint8)


def asked(prompt: bytes | str, **options: Any) -> tuple[np.ndarray[Any, Any], ...]:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return u8(prompt), u8(json.dumps(named)), EMPTY


async def whole(client: Client, prompt: bytes | str, **options: Any) -> tuple[bytes, dict[str, Any]]:
    text, usage = await client.infer(*asked(prompt, **options))
    return text.tobytes(), json.loads(usage.tobytes())


async def step(
    generation: Steps, *arrays: np.ndarray[Any, Any], seconds: float = 20.0
) -> tuple[bytes, dict[str, Any]]:
    deadline = asyncio.get_running_loop().time() + seconds
    outputs = await generation.step(tuple(map(tensor, arrays)), deadline, "t")
    text, usage = (bytes(each.data) for each in outputs.tensors)
    outputs.release()
    return text, json.loads(usage)


async def stepped(client: Client, prompt: bytes | str, **options: Any) -> tuple[bytes, dict[str, Any]]:
    """A text, step by step, to its end."""
    generation = client.backend.generation()
    text, usage = await step(generation, *asked(prompt, **options))
    try:
        while True:
            more, usage = await step(generation)
            text += more
    except (EndOfSequence, ContextFull):
        return text, usage
    finally:
        generation.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    directory = tmp_path_factory.mktemp("ggml")
    with standing(tiny(directory / "tiny.gguf"), directory, **GGML) as made:
        yield made


@pytest.fixture
async def model(process: Standing) -> AsyncIterator[Client]:
    async with process.client() as made:
        yield made


async def test_it_says_what_it_takes_and_gives(model: Client) -> None:
    signature = model.ready.signature
    assert [str(spec) for spec in signature.inputs] == ["u8 [bytes]", "u8 [?]", "u8 [?]"]
    assert [spec.optional for spec in signature.inputs] == [False, True, True]
    assert [spec.name for spec in signature.outputs] == ["text", "usage"]
    assert signature.steps
    assert "llama.cpp" in model.ready.runtime
    assert model.ready.confinement.complete
    assert not model.ready.notes


async def test_a_text_is_the_same_each_time_without_chance(model: Client) -> None:
    one, usage = await whole(model, "hello", **GREEDY, ignore_eos=True)
    assert one == (await whole(model, "hello", **GREEDY, ignore_eos=True))[0] != b""
    assert one != (await whole(model, "other", **GREEDY, ignore_eos=True))[0]
    assert usage | {"llama_build_number": 0} == {
        "input_tokens": 6,  # one byte each, and the beginning
        "output_tokens": 12,
        "finish": "length",
        "llama_build_number": 0,
        "llama_commit": "",
    }


async def test_a_seed_decides_about_chance(model: Client) -> None:
    texts = [
        (await whole(model, "hello", temp=2.0, n_predict=24, seed=seed, ignore_eos=True))[0]
        for seed in (7, 7, 8)
    ]
    assert texts[0] == texts[1] != texts[2]


async def test_steps_give_the_same_text_as_one_call(model: Client) -> None:
    assert await stepped(model, "hello", **GREEDY) == await whole(model, "hello", **GREEDY)


async def test_texts_are_written_by_turns_and_do_not_touch_each_other(model: Client) -> None:
    prompts = [f"prompt {number}" for number in range(6)]
    alone = [await stepped(model, prompt, **GREEDY) for prompt in prompts]
    together = await asyncio.gather(*(stepped(model, prompt, **GREEDY) for prompt in prompts))
    assert together == alone
    await model.settled()


async def test_a_long_prompt_is_read_by_turns(model: Client) -> None:
    prompt = "x" * (BATCH + 50)
    generation = model.backend.generation()
    text, usage = await step(generation, *asked(prompt, temp=0, ignore_eos=True))
    assert (text, usage["output_tokens"], usage["finish"]) == (b"", 0, None)
    _, usage = await step(generation)
    assert usage["output_tokens"] == 1
    generation.close()
    assert (await whole(model, prompt, temp=0, ignore_eos=True, n_predict=5))[1]["output_tokens"] == 5


async def test_a_stop_ends_the_text_and_is_not_part_of_it(model: Client) -> None:
    options = {"temp": 0, "n_predict": 40, "ignore_eos": True, "chat": False}
    text, _ = await whole(model, "stop here", **options)
    letters = [text[at : at + 1] for at in range(len(text)) if text[at] < 128]
    stop = next(letter for letter in letters if letter.isalnum())
    stopped, usage = await whole(model, "stop here", **options, stop=[stop.decode(), "never to come"])
    assert stopped == text[: text.index(stop)]
    assert usage["finish"] == "stop"
    assert (await stepped(model, "stop here", **options, stop=stop.decode()))[0] == stopped


async def test_what_may_become_a_stop_is_held_back_and_then_told(model: Client) -> None:
    options = {"temp": 0, "n_predict": 40, "ignore_eos": True}
    text, _ = await whole(model, "stop here", **options)
    begun = next(text[at : at + 1] for at in range(len(text)) if text[at : at + 1].isalnum())
    assert (await stepped(model, "stop here", **options, stop=begun.decode() + "\x01 not this"))[0] == text


async def test_the_form_of_a_conversation(model: Client) -> None:
    said = "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    plain, _ = await whole(model, said, **GREEDY)
    chat, _ = await whole(model, "Hi", **GREEDY, chat=True, system="Be short.")
    assert plain == chat


async def test_a_model_without_a_form_of_conversation_says_so(tmp_path: Path) -> None:
    for number, template in enumerate((None, "{{ cycler.__init__.__globals__.os.popen('id').read() }}")):
        path = tiny(tmp_path / f"{number}.gguf", chat=template)
        async with served(path, tmp_path, **GGML) as made:
            with pytest.raises(InvalidArgument, match="form of a conversation"):
                await whole(made, "Hi", chat=True)


# --- limits -----------------------------------------------------------------------------------------------


async def test_a_prompt_that_is_too_long(model: Client) -> None:
    with pytest.raises(PromptTooLong, match=r"the prompt has \d+ tokens"):
        await whole(model, "x" * CONTEXT)
    with pytest.raises(PromptTooLong):
        await whole(model, "x" * 30, ctx_size=16)
    with pytest.raises(PromptTooLong):
        await whole(model, "x" * (1 << 20))
    with pytest.raises(PromptTooLong, match="bytes"):
        await whole(model, "x", chat=True, history=[{"role": "user", "content": "x" * 100_000}])
    with pytest.raises(InvalidArgument, match="options have more"):
        await whole(model, "x", system="x" * (2 << 20))
    await model.settled()


async def test_a_context_that_fills_up(model: Client) -> None:
    options = {"temp": 0, "ignore_eos": True}
    text, usage = await whole(model, "x" * (CONTEXT - 6), **options)
    assert (usage["finish"], usage["output_tokens"]) == ("context", 5)
    assert (await stepped(model, "x" * (CONTEXT - 6), **options))[0] == text
    generation = model.backend.generation()
    _, usage = await step(generation, *asked("x" * (CONTEXT - 2), **options))
    while usage["finish"] is None:
        _, usage = await step(generation)
    assert (usage["finish"], usage["output_tokens"]) == ("context", 1)
    with pytest.raises(ContextFull):
        await step(generation)
    generation.close()


async def test_the_operator_decides_how_long_texts_may_be(tmp_path: Path) -> None:
    limits = Generation(context=64, at_once=1, max_tokens=8)
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML, generation=limits) as made:
        _, usage = await whole(made, "hi", n_predict=1000, temp=0, ignore_eos=True)
        assert (usage["finish"], usage["output_tokens"]) == ("length", 8)
        with pytest.raises(PromptTooLong, match="71 tokens"):
            await whole(made, "x" * 70)


async def test_more_than_there_are_places_wait(tmp_path: Path) -> None:
    limits = Generation(at_once=1)
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML, generation=limits) as made:
        first = made.backend.generation()
        await step(first, *asked("one", temp=0, ignore_eos=True))
        second = made.backend.generation()
        waiting = asyncio.create_task(step(second, *asked("two", temp=0, ignore_eos=True)))
        for _ in range(5):
            await step(first)
        assert not waiting.done()
        first.close()
        await waiting
        second.close()
        await made.settled()


@pytest.mark.slow
async def test_one_that_waits_for_a_place_may_give_up(tmp_path: Path) -> None:
    limits = Generation(at_once=1)
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML, generation=limits) as made:
        first = made.backend.generation()
        await step(first, *asked("one", temp=0, ignore_eos=True))
        with pytest.raises(InferenceTimeout):
            await step(made.backend.generation(), *asked("two"), seconds=0.1)
        cancelled = asyncio.create_task(step(made.backend.generation(), *asked("three")))
        await asyncio.sleep(0.02)
        cancelled.cancel()
        first.close()
        assert (await stepped(made, "four", **GREEDY))[1]["output_tokens"]
        await made.settled()


async def test_a_connection_that_ends_gives_its_places_back(tmp_path: Path) -> None:
    limits = Generation(at_once=1)
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML, generation=limits) as made:
        for _ in range(3):
            generation = made.backend.generation()
            await step(generation, *asked("one", temp=0, ignore_eos=True))
            assert made.backend._link is not None
            made.backend._link.close()
            await asyncio.sleep(0)
            with pytest.raises(ModelDied):
                await step(generation)


async def test_what_a_process_was_writing_dies_with_it(tmp_path: Path) -> None:
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML) as made:
        generation = made.backend.generation()
        await step(generation, *asked("one", temp=0, ignore_eos=True))
        await made.process.stop(0)
        await made.restart()
        with pytest.raises(ModelDied):
            await step(generation)
        generation.close()
        assert (await stepped(made, "four", **GREEDY))[1]["output_tokens"]


async def test_a_text_may_be_left_at_any_time(model: Client) -> None:
    for turn in range(12):
        generation = model.backend.generation()
        await step(generation, *asked(f"one {turn}", temp=0, ignore_eos=True))
        if turn % 2:
            running = asyncio.create_task(step(generation))
            await asyncio.sleep(0)
            running.cancel()
        generation.close()
    assert (await whole(model, "hello", **GREEDY))[0]
    await model.settled()


async def test_a_process_that_is_to_end_lets_texts_go_on(tmp_path: Path) -> None:
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML) as made:
        generation = made.backend.generation()
        await step(generation, *asked("one", temp=0, ignore_eos=True))
        ending = asyncio.create_task(made.process.stop(20))
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert await step(generation)
        assert not ending.done()
        generation.close()
        assert (await ending).status == 0


async def test_an_edge_that_is_to_leave_finishes_its_texts(tmp_path: Path) -> None:
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML) as made:
        generation = made.backend.generation()
        await step(generation, *asked("one", temp=0, ignore_eos=True))
        made.backend.rest()
        leaving = asyncio.create_task(made.process.leave(20))
        later = asyncio.create_task(stepped(made, "two", **GREEDY))
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert await step(generation)
        assert not leaving.done()
        generation.close()
        assert (await leaving).status == 0
        await made.restart()
        made.backend.resume(made.ready.signature)
        assert (await later)[1]["output_tokens"]


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"), [(b'{"temprature": 1}', "no option"), (b"[", "no JSON object")]
)
async def test_options_that_mean_nothing(model: Client, options: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await model.infer(u8("hello"), u8(options), EMPTY)
    with pytest.raises(InvalidArgument, match=words):
        await model.infer(u8("hello"), EMPTY, u8(options))


async def test_options_win_over_the_configuration(model: Client) -> None:
    both = u8("hello"), u8('{"n-predict": 3}'), u8('{"temp": 0, "n-predict": 9, "ignore-eos": true}')
    _, usage = await model.infer(*both)
    assert json.loads(usage.tobytes())["output_tokens"] == 3


async def test_any_bytes_are_a_prompt(model: Client) -> None:
    numbers = np.random.default_rng(5)
    for length in (1, 2, 3, 17, 60):
        for _ in range(20):
            prompt = numbers.integers(0, 256, length, np.uint8).tobytes()
            assert (await whole(model, prompt, **GREEDY))[1]["input_tokens"] > 0


async def test_other_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperation, match=r"no GPU for llama\.cpp"):
        async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML, target="gpu"):
            pass


def test_a_build_with_a_gpu_is_asked_to_have_all_layers_there(tmp_path: Path) -> None:
    """There is no such build here: what is looked at is what llama.cpp is asked for."""
    asked = []

    def load(_path: bytes, params: llama.ModelParams) -> None:
        asked.append(params.n_gpu_layers)

    runtime = Runtime.__new__(Runtime)
    runtime.name = "llama.cpp"
    runtime._words = SimpleNamespace(take=lambda: None)  # type: ignore[assignment]
    runtime._library = SimpleNamespace(
        llama_supports_gpu_offload=lambda: True,
        llama_model_default_params=llama.ModelParams,
        llama_model_load_from_file=load,
    )
    assert runtime.open_device("gpu") == "its GPU"
    with pytest.raises(UnsupportedOperation):
        runtime.open_device("tpu")
    for target in ("gpu", "cpu"):
        with pytest.raises(ModelLoadFailed):
            runtime.load(spec_of(tiny(tmp_path / "t.gguf"), **GGML, target=target))
    assert asked == [-1, 0]


async def test_instances_and_threads_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="either"):
        async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML, instances=2, threads=2):
            pass


@pytest.mark.parametrize("settings", [{"threads": 2}, {"instances": 2}], ids=str)
async def test_several_threads_write_the_same(
    model: Client, tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with served(tiny(tmp_path / "t.gguf"), tmp_path, **GGML, **settings) as made:
        prompts = [f"prompt {number}" for number in range(6)]
        texts = await asyncio.gather(*(stepped(made, prompt, **GREEDY) for prompt in prompts))
        assert [text for text, _ in texts] == [(await whole(model, each, **GREEDY))[0] for each in prompts]


async def test_too_little_memory_is_said(tmp_path: Path) -> None:
    limits = Generation(context=1 << 20, at_once=64)
    path = tiny(tmp_path / "t.gguf", context=1 << 20)
    with pytest.raises(ModelLoadFailed, match="memory"):
        async with served(path, tmp_path, **GGML, generation=limits, memory=256 << 20):
            pass


async def test_what_is_no_gguf_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelLoadFailed) as caught:
        async with served(path, tmp_path, **GGML):
            pass
    assert "llama.cpp cannot load" in caught.value.message
    assert caught.value.cause


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
async def test_a_damaged_file_ends_its_own_process_at_most(tmp_path: Path, seed: int) -> None:
    """Whatever is wrong with it, it loads, or the reason is told, or how the process died."""
    numbers = np.random.default_rng(seed)
    path = tiny(tmp_path / "t.gguf")
    data = bytearray(path.read_bytes())
    head = 12_000  # its metadata and what it says of its tensors
    for _ in range(int(numbers.integers(1, 9))):
        at = int(numbers.integers(4, head))
        match int(numbers.integers(3)):
            case 0:
                data[at] = int(numbers.integers(256))
            case 1:
                data[at : at + 8] = int(numbers.integers(1 << 62)).to_bytes(8, "little")
            case _:
                del data[at : at + int(numbers.integers(1, 64))]
    if seed % 5 == 0:
        del data[int(numbers.integers(4, len(data))) :]
    path.write_bytes(data)
    with suppress(NnError):
        async with served(path, tmp_path, **GGML, memory=1 << 30, load_timeout_ms=30_000) as made:
            await whole(made, "hello", **GREEDY)


# --- the library and a real model ---------------------------------------------------------------------------


def directly(path: Path, prompt: bytes, count: int) -> bytes:
    """The likeliest tokens one after the other, by llama.cpp without anything of ours around it."""
    library = llama.library()
    library.llama_backend_init()
    params = library.llama_model_default_params()
    params.n_gpu_layers = 0
    model = library.llama_model_load_from_file(str(path).encode(), params)
    settings = library.llama_context_default_params()
    settings.n_threads = settings.n_threads_batch = 1
    settings.n_batch = settings.n_ubatch = BATCH  # another size adds numbers in another order
    context = library.llama_init_from_model(model, settings)
    vocabulary = library.llama_model_get_vocab(model)
    words = library.llama_vocab_n_tokens(vocabulary)
    library.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
    library.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    tokens = (ctypes.c_int32 * 256)()
    length = library.llama_tokenize(vocabulary, prompt, len(prompt), tokens, 256, True, True)
    piece = ctypes.create_string_buffer(256)
    text = b""
    for _ in range(count):
        for start in range(0, length, BATCH):
            part = (ctypes.c_int32 * min(BATCH, length - start)).from_buffer(tokens, 4 * start)
            assert library.llama_decode(context, library.llama_batch_get_one(part, len(part))) == 0
        logits = np.ctypeslib.as_array(library.llama_get_logits_ith(context, -1), (words,))
        tokens[0], length = int(logits.argmax()), 1
        size = library.llama_token_to_piece(vocabulary, tokens[0], piece, 256, 0, False)
        text += piece.raw[:size]
    return text


async def test_it_writes_what_the_library_writes_by_itself(model: Client, tmp_path: Path) -> None:
    path = tiny(tmp_path / "t.gguf")
    for prompt in (b"hello", b"another prompt, longer than that", b"long " * 30, b"\xc3\xa4"):
        text, _ = await whole(model, prompt, temp=0, ignore_eos=True, n_predict=40)
        assert text == directly(path, prompt, 40)


@pytest.mark.slow
async def test_a_real_model_writes_what_the_library_writes_by_itself(tmp_path: Path) -> None:
    prompt = b"In the beginning " * 50  # several batches
    async with served(smollm2(), tmp_path, **GGML) as made:
        text, _ = await whole(made, prompt, temp=0, ignore_eos=True, n_predict=48)
    assert text == directly(smollm2(), prompt, 48)


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "find_spec", lambda _name: None)
    with pytest.raises(InvalidEncoding, match="'ggml' is not installed") as caught:
        framework("ggml", "ggml")
    assert caught.value.remedy == "pip install 'wasmind[ggml]'"


def test_a_library_that_cannot_be_loaded_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xllamacpp.abi3.so").write_bytes(b"no library")
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(llama, "find_spec", lambda _name: found)
    with pytest.raises(InvalidEncoding, match="cannot be loaded") as caught:
        framework("ggml", "ggml")
    assert "libgomp" in str(caught.value.remedy)


@pytest.mark.skipif(os.geteuid() != 0, reason="a confined process shows its descriptors to root alone")
async def test_it_listens_to_nobody_but_edges_and_needs_no_more_calls_than_any_worker(
    model: Client, process: Standing
) -> None:
    await whole(model, "hello", **GREEDY)
    sockets = {os.readlink(path) for path in Path(f"/proc/{process.pid}/fd").iterdir() if path.is_symlink()}
    lines = [
        line.split()
        for kind in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{process.pid}/net/{kind}").read_text().splitlines()[1:]
    ]
    assert not sockets & {f"socket:[{line[9]}]" for line in lines}
    assert Runtime.profile == Profile()


def test_another_release_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(llama._CONTEXT_DEFAULTS, "n_ctx", 511)
    with pytest.raises(NnError, match="another interface") as caught:
        llama.library()
    assert llama.VERSION in str(caught.value.remedy)


@pytest.mark.slow
async def test_a_real_model_knows_the_capital_of_france(tmp_path: Path) -> None:
    async with served(smollm2(), tmp_path, **GGML) as made:
        text, usage = await whole(made, "What is the capital of France?", temp=0, chat=True, n_predict=32)
        assert text == b"The capital of France is Paris."
        assert usage["finish"] == "stop"
        assert await stepped(made, "What is the capital of France?", temp=0, chat=True) == (text, usage)
