"""Functions in Python and JavaScript as their toolchains build them, from request to model and back."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.toolchains import WIT, javascript, python
from wasmind.component.component import Component
from wasmind.errors import GuestTrap, MalformedResponse, WasmindError
from wasmind.nn.graph import Graph

from .conftest import Served

pytestmark = pytest.mark.slow
BUILDERS: dict[str, Callable[..., bytes]] = {"python": python, "javascript": javascript}


@pytest.fixture(params=["python", "javascript"])
def served(request: Any, load: Callable[..., Component]) -> Served:
    component = load(BUILDERS[request.param]("web", WIT, "http-nn"))
    made = Served(component, models=FixedModels(plus=Graph("plus", OnnxBackend(onnx_models.plus_one()))))
    made.language = request.param  # type: ignore[attr-defined]  # for this file alone
    return made


async def parts(*given: bytes) -> AsyncIterator[bytes]:
    for part in given:
        yield part


async def test_hello(served: Any) -> None:
    answer = await served.get("/")
    assert (answer.status, answer.data) == (200, f"hello from {served.language}".encode())
    assert answer.headers[b"content-type"] == b"text/plain"


async def test_many_at_once(served: Any) -> None:
    answers = await asyncio.gather(*(served.get("/") for _ in range(10)))
    assert {answer.data for answer in answers} == {f"hello from {served.language}".encode()}


async def test_what_it_was_asked(served: Any) -> None:
    answer = await served.get("/ask", "GET", [(b"host", b"localhost:1"), (b"x-b", b"1"), (b"accept", b"2")])
    assert b"localhost:1" in answer.data
    assert b"host" not in answer.data.replace(b"localhost", b"")
    assert b"accept" in answer.data


async def test_bodies(served: Any) -> None:
    data = bytes(range(256)) * 500
    answer = await served.get("/echo", "POST", body=parts(data[:70_000], data[70_000:]))
    assert answer.data == data


async def test_a_model_by_name(served: Any) -> None:
    answer = await served.get("/think/plus", "POST", body=parts(struct.pack("<3f", 1.5, 2, 3)))
    assert (answer.status, answer.data) == (200, b"y (2.5, 3.0, 4.0)")


async def test_a_model_that_is_not_there(served: Any) -> None:
    answer = await served.get("/think/other", "POST", body=parts(struct.pack("<f", 1)))
    assert answer.status == 500
    assert answer.data.lower().replace(b"_", b"-").startswith(b"not-found: no such model")


async def test_a_tensor_that_does_not_fit(served: Any) -> None:
    answer = await served.get("/think/plus", "POST", body=parts(b"\0\0\0\0\0"))
    assert answer.status == 500
    assert b"f32" in answer.data


async def test_an_exception(served: Any) -> None:
    with pytest.raises((GuestTrap, MalformedResponse)) as caught:
        await served.get("/fail")
    assert isinstance(caught.value, WasmindError)
    if served.language == "python":  # the JavaScript one is built without standard streams
        assert b"on purpose" in b"".join(served.log)
