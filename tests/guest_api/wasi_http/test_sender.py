"""The guest's response on its way to the client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wasmind.component.abi.values import Err
from wasmind.errors import ClientGone, MalformedResponse
from wasmind.guest_api.wasi_http.bodies import OutgoingBody
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.messages import OutgoingResponse
from wasmind.guest_api.wasi_http.pipe import WINDOW
from wasmind.guest_api.wasi_http.sender import Sender


class Client:
    """Receives a response; with a gate, no faster than it is opened."""

    def __init__(self, gate: asyncio.Event | None = None, error: Exception | None = None) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[tuple[bytes, bool]] = []
        self.gate = gate
        self.error = error

    def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert self.status == 0
        self.status, self.headers = status, dict(headers)

    async def body(self, chunk: bytes, more: bool) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.parts.append((chunk, more))

    @property
    def data(self) -> bytes:
        return b"".join(chunk for chunk, _ in self.parts)


def response(*entries: tuple[str, bytes], status: int = 200) -> tuple[OutgoingResponse, Any, Any]:
    headers = Fields.from_list(entries)
    assert isinstance(headers, Fields)
    made = OutgoingResponse(headers)
    made.set_status(status)
    body = made.body()
    assert isinstance(body, OutgoingBody)
    return made, body, body.write()


async def test_a_small_response_goes_out_whole() -> None:
    client = Client()
    sender = Sender(client, "GET")
    made, body, stream = response(("Content-Type", b"text/plain"))
    sender.answered(made)
    stream.write(b"hello ")
    stream.flush()
    stream.write(b"world")
    stream.close()
    body.finish(None)
    assert sender.complete
    await sender.finish()
    assert client.headers == {b"content-type": b"text/plain", b"content-length": b"11"}
    assert client.parts == [(b"hello world", False)]


async def test_a_response_written_before_it_is_set() -> None:
    client = Client()
    sender = Sender(client, "GET")
    made, body, stream = response()
    stream.write(b"early")
    stream.close()
    body.finish(None)
    sender.answered(made)
    await sender.finish()
    assert client.parts == [(b"early", False)]


async def test_what_was_flushed_goes_out_while_the_guest_waits() -> None:
    client = Client()
    sender = Sender(client, "GET")
    made, body, stream = response()
    sender.answered(made)
    stream.write(b"token ")
    stream.flush()
    await asyncio.sleep(0.001)
    assert client.parts == [(b"token ", True)]
    assert sender.started
    assert b"content-length" not in client.headers
    stream.write(b"by token")
    await asyncio.sleep(0.001)
    assert len(client.parts) == 1
    stream.close()
    body.finish(None)
    await sender.finish()
    assert client.data == b"token by token"
    assert client.parts[-1][1] is False


async def test_a_response_without_a_body() -> None:
    client = Client()
    sender = Sender(client, "GET")
    sender.answered(OutgoingResponse(Fields()))
    await sender.finish()
    assert (client.status, client.headers, client.parts) == (200, {b"content-length": b"0"}, [(b"", False)])


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_responses_that_have_no_body(method: str, status: int) -> None:
    client = Client()
    sender = Sender(client, method)
    made, body, stream = response(("content-length", b"5"), status=status)
    sender.answered(made)
    stream.write(b"hello")
    stream.close()
    body.finish(None)
    await sender.finish()
    assert client.parts == [(b"", False)]
    assert client.headers[b"content-length"] == b"5"


async def test_a_large_response_waits_for_its_client() -> None:
    gate = asyncio.Event()
    client = Client(gate)
    sender = Sender(client, "GET")
    made, body, stream = response()
    sender.answered(made)
    for _ in range(8):
        writing = stream.write(bytes(WINDOW))
        assert writing is None
        if stream.room() == 0:
            draining = asyncio.ensure_future(stream.drain())
            await asyncio.sleep(0.001)
            gate.set()
            await asyncio.wait_for(draining, 5)
            gate.clear()
        assert made.pipe.size <= WINDOW
    gate.set()
    stream.close()
    body.finish(None)
    await sender.finish()
    assert len(client.data) == 8 * WINDOW


async def test_no_response() -> None:
    with pytest.raises(MalformedResponse, match="without a response") as caught:
        await Sender(Client(), "GET").finish()
    assert caught.value.cause == "it did not call response-outparam.set"


@pytest.mark.parametrize(
    ("code", "cause"),
    [("loop-detected", "loop-detected"), (("internal-error", "no disk"), "internal-error no disk")],
)
async def test_an_error_in_place_of_a_response(code: Any, cause: str) -> None:
    sender = Sender(Client(), "GET")
    sender.answered(Err(code))
    with pytest.raises(MalformedResponse, match="answered with an error") as caught:
        await sender.finish()
    assert cause in str(caught.value.cause)


async def test_a_body_that_was_never_finished() -> None:
    client = Client()
    sender = Sender(client, "GET")
    made, _, stream = response()
    sender.answered(made)
    stream.write(b"half")
    assert not sender.complete
    with pytest.raises(MalformedResponse, match="without completing"):
        await sender.finish()
    assert client.status == 0


async def test_a_body_given_up_half_way_is_cut() -> None:
    client = Client()
    sender = Sender(client, "GET")
    made, body, stream = response()
    sender.answered(made)
    stream.write(b"half")
    stream.flush()
    await asyncio.sleep(0.001)
    stream.close()
    body.drop()
    with pytest.raises(MalformedResponse, match="without completing"):
        await sender.finish()
    assert client.parts == [(b"half", True)]


async def test_a_body_shorter_than_promised_is_cut() -> None:
    client = Client()
    sender = Sender(client, "GET")
    made, body, stream = response(("content-length", b"10"))
    sender.answered(made)
    stream.write(b"half")
    stream.close()
    assert isinstance(body.finish(None), Err)
    with pytest.raises(MalformedResponse):
        await sender.finish()
    assert not any(more is False for _, more in client.parts)


async def test_a_client_that_left() -> None:
    client = Client(error=ClientGone("gone"))
    sender = Sender(client, "GET")
    made, body, stream = response()
    sender.answered(made)
    stream.write(b"x")
    stream.flush()
    await asyncio.sleep(0.001)
    stream.close()
    body.finish(None)
    with pytest.raises(ClientGone):
        await sender.finish()


async def test_abandoning() -> None:
    gate = asyncio.Event()
    client = Client(gate)
    sender = Sender(client, "GET")
    made, _, stream = response()
    sender.answered(made)
    stream.write(bytes(WINDOW))
    await asyncio.sleep(0.001)
    draining = asyncio.ensure_future(stream.drain())
    sender.abandon()
    await asyncio.wait_for(draining, 1)
    gate.set()
    await asyncio.sleep(0.001)
    assert client.parts == []
    sender.abandon()
