"""The virtual backend: models by HTTP from inside a guest."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from support.backend import FixedModels, OnnxBackend
from support.garbage import leaves_nothing
from support.onnx_models import linear
from support.toolchains import WIT, c
from wasmind.component.abi.values import Err
from wasmind.component.component import Component
from wasmind.config import Limits, Size
from wasmind.guest_api.wasi.p2.streams import OutputStream
from wasmind.guest_api.wasi_http.bodies import OutgoingBody
from wasmind.guest_api.wasi_http.client import Client, Outgoing
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.messages import FutureResponse, OutgoingRequest, RequestOptions
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session

from .conftest import Served
from .test_client import answer, body

X = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
INFER = "/v2/models/linear/infer"
HOST = "models.wasmind.internal"


class Run:
    """One run of a function that may name `linear`, and the requests that it makes."""

    def __init__(self, limits: Limits | None = None, requests: int = 32, delay: float = 0.0) -> None:
        self.backend = OnnxBackend(linear(), delay)
        models = FixedModels(linear=Graph("linear", self.backend, labels=("a", "b", "c", "d")))
        self.session = Session(models, limits or Limits(), "acme")
        self.outgoing = Outgoing(Client(()), requests)
        self.notes: list[str] = []

    def begin(
        self, path: str, data: bytes | None = None, *headers: tuple[str, bytes], method: Any = None
    ) -> FutureResponse | Err[Any]:
        """Send a request; with data it is a POST."""
        fields = Fields.from_list(headers)
        assert isinstance(fields, Fields)
        request = OutgoingRequest(fields)
        request.scheme, request.authority, request.path_with_query = "HTTP", HOST, path
        request.method = method or ("get" if data is None else "post")
        upload = request.body() if data is not None else None
        sent = self.outgoing.send(request, RequestOptions(), self.notes.append, self.session)
        if isinstance(upload, OutgoingBody):
            request.pipe.write(data or b"")
            upload.finish(None)
        return sent

    async def json(self, *arguments: Any, **options: Any) -> tuple[int, Any]:
        """Status and document of an answer."""
        response = await answer(self.begin(*arguments, **options))
        data, failed = await body(response)
        assert failed is None
        return response.status, json.loads(data)

    def close(self) -> None:
        self.session.close()
        self.outgoing.close()
        assert self.session.memory_used == 0


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run()
    yield made
    made.close()
    assert made.backend.held == 0


async def test_json(run: Run) -> None:
    status, told = await run.json(INFER, json.dumps(X).encode())
    assert (status, told["outputs"][0]["data"]) == (200, [3, 5, 7, 9])
    assert run.backend.tenants == ["acme"]
    assert run.session.timing.count == 1


async def test_what_a_request_made_is_freed_with_it(run: Run) -> None:
    await leaves_nothing(lambda: run.json(INFER, json.dumps(X).encode()))


async def test_raw_bytes(run: Run) -> None:
    given = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    length = ("Inference-Header-Content-Length", str(len(head)).encode())
    response = await answer(run.begin(INFER, head + struct.pack("<4f", 1, 2, 3, 4), length))
    data, _ = await body(response)
    at = int(response.headers.get("inference-header-content-length")[0])
    assert struct.unpack("<4f", data[at:]) == (3, 5, 7, 9)
    assert response.headers.get("content-length") == [str(len(data)).encode()]


async def test_classification_with_labels(run: Run) -> None:
    wanted = {"outputs": [{"name": "y", "parameters": {"classification": 1}}]}
    _, told = await run.json(INFER, json.dumps(X | wanted).encode())
    assert told["outputs"][0]["data"] == ["9.000000:3:d"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready?x=1", {"ready": True}),
        ("/v2/models/linear/ready", {"name": "linear", "ready": True}),
        ("/v2/models/linear/versions/1/ready", {"name": "linear", "ready": True}),
        ("/v2/models/line%61r/ready", {"name": "linear", "ready": True}),
    ],
)
async def test_what_else_may_be_asked(run: Run, path: str, told: Any) -> None:
    assert await run.json(path) == (200, told)


async def test_metadata(run: Run) -> None:
    assert (await run.json("/v2"))[1]["extensions"] == ["binary_tensor_data", "classification"]
    status, told = await run.json("/v2/models/linear")
    assert (status, told["inputs"]) == (200, [{"name": "x", "datatype": "FP32", "shape": [1, 4]}])


@pytest.mark.parametrize(
    ("path", "data", "status", "words"),
    [
        ("/v2/models/other", None, 404, "no such model"),
        ("/v2/models/linear/versions/2", None, 404, "no such model"),
        ("/v2/repository/index", b"{}", 404, "has nothing at"),
        ("/", None, 404, "has nothing at"),
        (INFER, None, 405, "use POST"),
        (INFER, b"{", 400, "no inference request"),
        (INFER, json.dumps({"inputs": []}).encode(), 400, "without input"),
    ],
)
async def test_refusals_are_answers_and_the_log_has_them(
    run: Run, path: str, data: bytes | None, status: int, words: str
) -> None:
    found, told = await run.json(path, data)
    assert (found, words in told["error"]) == (status, True), told
    assert len(run.notes) == 1


async def test_requests_to_models_count_as_requests() -> None:
    run = Run(requests=1)
    assert (await run.json("/v2"))[0] == 200
    assert await answer(run.begin("/v2")) == "connection-limit-reached"
    run.close()


async def test_other_ports_and_schemes_are_other_hosts(run: Run) -> None:
    for scheme, authority in (("HTTPS", HOST), ("HTTP", f"{HOST}:81"), ("HTTP", f"x.{HOST}")):
        fields = Fields.from_list([])
        assert isinstance(fields, Fields)
        request = OutgoingRequest(fields)
        request.scheme, request.authority = scheme, authority
        sent = run.outgoing.send(request, RequestOptions(), run.notes.append, run.session)
        assert isinstance(sent, Err)
        assert sent.value == "HTTP-request-denied"


async def test_a_body_counts_as_the_functions_memory() -> None:
    run = Run(Limits(nn_memory=Size(2000)))
    status, told = await run.json(INFER, bytes(3000))
    assert (status, "over the function's limit" in told["error"]) == (413, True)
    assert run.session.memory_used == 0
    run.close()


async def test_an_answer_that_nobody_reads_is_freed_with_the_run() -> None:
    run = Run()
    await answer(run.begin("/v2/models/linear"))
    assert run.session.memory_used > 0
    run.close()


async def test_an_answer_that_is_over_the_limit() -> None:
    run = Run(Limits(nn_memory=Size(60)))
    assert await answer(run.begin("/v2/models/linear")) == ("HTTP-response-body-size", 168)
    run.close()


async def test_the_end_of_a_run_ends_its_inference() -> None:
    run = Run(delay=30)
    sent = run.begin(INFER, json.dumps(X).encode())
    assert isinstance(sent, FutureResponse)
    while not run.backend.calls:
        await asyncio.sleep(0.001)
    run.session.close()
    run.outgoing.close()
    await asyncio.wait((sent.future,), timeout=10)
    run.close()
    assert (run.backend.cancelled, run.backend.held) == (1, 0)


async def test_several_at_once(run: Run) -> None:
    sent = [run.begin(INFER, json.dumps(X).encode()) for _ in range(8)]
    found = [json.loads((await body(await answer(one)))[0]) for one in sent]
    assert all(one["outputs"][0]["data"] == [3, 5, 7, 9] for one in found)


async def test_a_body_that_is_given_up(run: Run) -> None:
    fields = Fields.from_list([])
    assert isinstance(fields, Fields)
    request = OutgoingRequest(fields)
    request.method, request.scheme, request.authority, request.path_with_query = "post", "HTTP", HOST, INFER
    upload = request.body()
    assert isinstance(upload, OutgoingBody)
    sent = run.outgoing.send(request, RequestOptions(), run.notes.append, run.session)
    stream = upload.write()
    assert isinstance(stream, OutputStream)
    request.pipe.write(b"{")
    request.pipe.abandon()
    assert await answer(sent) == "connection-terminated"


# --- a component ------------------------------------------------------------------------------------------


@pytest.fixture
def served(load: Callable[..., Component]) -> Served:
    """The guest `server`, which passes a request under /m on to its models."""
    graph = Graph("linear", OnnxBackend(linear()))
    return Served(load(c("server", WIT, "http")), models=FixedModels(linear=graph))


async def parts(*given: bytes) -> AsyncIterator[bytes]:
    for part in given:
        yield part


async def test_a_guest_that_knows_no_wasi_nn_asks_a_model(served: Served) -> None:
    sent = json.dumps(X).encode()
    told = await served.get(f"/m{INFER}", "POST", body=parts(sent[:20], sent[20:]))
    assert (told.status, json.loads(told.data)["outputs"][0]["data"]) == (200, [3, 5, 7, 9])


async def test_a_guest_asks_for_metadata(served: Served) -> None:
    told = await served.get("/m/v2/models/linear")
    assert (told.status, json.loads(told.data)["name"]) == (200, "linear")


async def test_a_guest_names_a_model_that_it_was_not_granted(served: Served) -> None:
    told = await served.get("/m/v2/models/other/infer", "POST", body=parts(b"{}"))
    assert told.status == 400  # it is no request either, and that is found first
    told = await served.get("/m/v2/models/other/infer", "POST", body=parts(json.dumps(X).encode()))
    assert (told.status, json.loads(told.data)) == (404, {"error": "no such model"})
    assert any("no such model" in note for note in served.notes)
