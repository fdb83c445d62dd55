"""Graphs from bytes through the core ABI, and what WasmEdge's guests call beside it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import DATA, F32, NAME, OUT, Caller
from wasmind.config import Limits, Size
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program


@pytest.fixture
def models() -> FixedModels:
    return FixedModels(
        linear=Graph("linear", OnnxBackend(onnx_models.linear())),
        add=Graph("add", OnnxBackend(onnx_models.add())),
        gather=Graph("gather", OnnxBackend(onnx_models.gather())),
    )


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


# --- load ---------------------------------------------------------------------------------------------------


async def test_load_is_6_unless_the_policy_allows_it(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        assert await guest.load(onnx_models.linear()) == 6
        assert "set allow_load = true" in guest.notes[0]


@pytest.mark.parametrize("encoding", [1, 5, 6])
async def test_bytes_can_be_loaded_and_5_and_6_are_sniffed(
    ephemeral: Program, models: FixedModels, encoding: int
) -> None:
    models.allow_load = True
    async with Caller(ephemeral, models) as guest:
        assert await guest.load(onnx_models.linear(), encoding=encoding) == 0, guest.notes
        assert models.loaded == [((onnx_models.linear(),), Encoding.ONNX, Target.CPU)]
        assert await guest.call("init_execution_context", guest.out, OUT) == 0
        context = guest.out
        assert await guest.set_input(context, 0, (1, 4), F32, floats(1, 2, 3, 4)) == 0
        assert await guest.call("compute", context) == 0
        assert (await guest.output(context))[2] == floats(3, 5, 7, 9)


@pytest.mark.parametrize("encoding", [5, 6])
@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"GGUF" + bytes(60), Encoding.GGML),
        (b"\x1c\0\0\0TFL3" + bytes(60), Encoding.TENSORFLOWLITE),
        (b"PK\x03\x04" + bytes(60), Encoding.PYTORCH),
        (b"<?xml version='1.0'?><net/>", Encoding.OPENVINO),
    ],
)
async def test_what_is_seen_in_the_bytes(
    ephemeral: Program, data: bytes, seen: Encoding, encoding: int
) -> None:
    class Recording(FixedModels):
        async def load(self, builders: tuple[bytes, ...], encoding: Encoding, target: Target) -> Graph:
            self.loaded.append((builders, encoding, target))
            return Graph("loaded", OnnxBackend(onnx_models.linear()))

    models = Recording()
    models.allow_load = True
    async with Caller(ephemeral, models) as guest:
        assert await guest.load(data, encoding=encoding) == 0
        assert models.loaded == [((data,), seen, Target.CPU)]


@pytest.mark.parametrize("encoding", [0, 2, 3, 4, 5, 6])
async def test_bytes_that_are_nothing_known(ephemeral: Program, models: FixedModels, encoding: int) -> None:
    models.allow_load = True
    async with Caller(ephemeral, models) as guest:
        errno = await guest.load(b"hello, world, I am no model", encoding=encoding)
        assert errno == (2 if encoding else 5)  # OpenVINO alone is left to its framework


@pytest.mark.parametrize("count", [0, 3, 1000])
async def test_a_wrong_number_of_builders_is_1(ephemeral: Program, models: FixedModels, count: int) -> None:
    models.allow_load = True
    async with Caller(ephemeral, models) as guest:
        assert await guest.call("load", 0, count, 1, 0, OUT) == 1


async def test_a_model_over_the_limit_is_7(ephemeral: Program, models: FixedModels) -> None:
    models.allow_load = True
    async with Caller(ephemeral, models, Limits(load_size=Size(1000), cpu_ms=5000)) as guest:
        assert await guest.load(bytes(501), bytes(500), encoding=0) == 7
        assert "a model of 1001 bytes" in guest.notes[0]


@pytest.mark.parametrize("target", [1, 2])
async def test_a_target_that_is_not_there_is_6(ephemeral: Program, models: FixedModels, target: int) -> None:
    models.allow_load = True
    async with Caller(ephemeral, models) as guest:
        assert await guest.load(onnx_models.linear(), target=target) == 6
        assert (await guest.load(onnx_models.linear())) == 0


# --- what WasmEdge's guests call ----------------------------------------------------------------------------


@pytest.mark.parametrize("config", [b"", b"{}", b'{"ctx-size": 512, "enable-log": true}'])
async def test_a_name_with_settings(ephemeral: Program, models: FixedModels, config: bytes) -> None:
    async with Caller(ephemeral, models) as guest:
        guest.memory.write(NAME, b"linear")
        guest.memory.write(DATA, config)
        assert await guest.call("load_by_name_with_config", NAME, 6, DATA, len(config), OUT) == 0
        assert await guest.call("init_execution_context", guest.out, OUT) == 0
        assert [("ctx-size, enable-log have no effect" in note) for note in guest.notes] == [True] * (
            len(config) > 2
        )


@pytest.mark.parametrize(
    ("config", "errno"),
    [(b"[]", 1), (b"null", 1), (b"{", 1), (b'{"a": \xff}', 1), (b"[" * 5000, 1), (b" " * 70_000, 7)],
)
async def test_settings_that_are_no_json_object(
    ephemeral: Program, models: FixedModels, config: bytes, errno: int
) -> None:
    async with Caller(ephemeral, models) as guest:
        guest.memory.write(NAME, b"linear")
        guest.memory.write(DATA, config)
        assert await guest.call("load_by_name_with_config", NAME, 6, DATA, len(config), OUT) == errno


async def test_an_unknown_name_with_settings_is_8(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        assert await guest.call("load_by_name_with_config", NAME, 6, 0, 0, OUT) == 8


async def test_graphs_and_contexts_can_be_given_back(ephemeral: Program, models: FixedModels) -> None:
    backend = models.graphs["linear"].backend
    async with Caller(ephemeral, models) as guest:
        assert await guest.named() == 0
        graph = guest.out
        assert await guest.call("init_execution_context", graph, OUT) == 0
        context = guest.out
        assert await guest.set_input(context, 0, (1, 4), F32, bytes(16)) == 0
        assert await guest.call("unload", graph) == 0
        assert await guest.call("unload", graph) == 1
        assert await guest.call("compute", context) == 0  # the context goes on
        assert backend.held == 2  # type: ignore[attr-defined]
        assert await guest.call("finalize_execution_context", context) == 0
        assert backend.held == 0  # type: ignore[attr-defined]
        assert await guest.call("finalize_execution_context", context) == 1
        assert await guest.call("compute", context) == 1
