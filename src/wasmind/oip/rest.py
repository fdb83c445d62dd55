"""The REST form of the protocol, as far as it concerns one model: metadata, readiness, inference."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wasmind.backends.oip import rest as codec
from wasmind.backends.oip.datatypes import DATATYPES, RAW_ONLY
from wasmind.errors import InvalidArgument, MethodNotAllowed, ModelUnavailable, RouteNotFound
from wasmind.oip.classification import classify, packed
from wasmind.oip.inference import Inference, chosen
from wasmind.oip.refusal import rest_status, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wasmind.errors import WasmindError
    from wasmind.nn.signature import Signature, TensorSpec
    from wasmind.nn.tensor import Buffer

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "statistics")
"""Extensions of the protocol that the node's own ports offer, by their names in Triton."""
MAX_JSON = 32 << 20
"""Bytes of a request's JSON part: reading it takes the event loop's time. Larger tensors go as raw bytes."""

JSON = ((b"content-type", b"application/json"),)


class Answer(NamedTuple):
    """What a request is answered."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Target(NamedTuple):
    """What a path of a model asks for: `/v2/models/MODEL[/versions/VERSION][/ACTION]`."""

    model: str
    version: str
    """Empty where the path names none."""
    action: str
    """`infer`, `ready` and so on; empty for the metadata."""


@lru_cache(256)
def target(path: str) -> Target | None:
    """Read a path; None for one that is of no model. A model's name may have slashes for other servers."""
    match path.split("/"):
        case ["", "v2", "models", model, "versions", version]:
            return Target(model, version, "")
        case ["", "v2", "models", model, "versions", version, action]:
            return Target(model, version, action)
        case ["", "v2", "models", model]:
            return Target(model, "", "")
        case ["", "v2", "models", model, action]:
            return Target(model, "", action)
    return None


def document(value: object, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, JSON, msgspec.json.encode(value))


def server_metadata(version: str, extensions: Sequence[str] = EXTENSIONS) -> Answer:
    """What the server is."""
    return document({"name": "wasmind", "version": version, "extensions": extensions})


def refusal(error: WasmindError, *, dev: bool) -> Answer:
    """The answer to what went wrong."""
    answer = document({"error": words(error, dev=dev)}, rest_status(error))
    if error.retry_after is not None:
        return answer._replace(
            headers=(*answer.headers, (b"retry-after", b"%d" % max(1, round(error.retry_after))))
        )
    return answer


async def answer(
    method: str, asked: Target, headers: Mapping[bytes, bytes], body: bytes, inference: Inference
) -> Answer:
    """Answer a request that concerns a model. Raises RequestErrors, NnErrors.

    `headers` has the last of each name, in lower case.
    """
    match asked.action:
        case "infer":
            _check_method(method, "POST")
            return await _infer(asked, headers, body, inference)
        case "":
            _check_method(method, "GET")
            graph = await inference.graph(asked.model, asked.version)
            version = inference.version_of(asked.model, asked.version)
            return document(model_metadata(asked.model, graph.signature, (version,)))
        case "ready":
            _check_method(method, "GET")
            try:
                await inference.graph(asked.model, asked.version)
            except ModelUnavailable:
                return readiness(asked, ready=False)
            return readiness(asked, ready=True)
    raise RouteNotFound(f"a model has nothing called {asked.action[:80]!r}", remedy="it has ready and infer")


def readiness(asked: Target, *, ready: bool) -> Answer:
    """Whether a model can be used now."""
    return document({"name": asked.model, "ready": ready}, 200 if ready else 503)


def model_metadata(name: str, signature: Signature, versions: Sequence[str]) -> dict[str, object]:
    """A model's metadata."""
    return {
        "name": name,
        "versions": versions,
        "platform": "wasmind",
        "inputs": [tensor_metadata(spec) for spec in signature.inputs],
        "outputs": [tensor_metadata(spec) for spec in signature.outputs],
    }


def tensor_metadata(spec: TensorSpec) -> dict[str, object]:
    """One input or output; -1 is a dimension that varies."""
    return {"name": spec.name, "datatype": DATATYPES[spec.type], "shape": shape(spec)}


def shape(spec: TensorSpec) -> list[int]:
    """The dimensions of a tensor as the protocol tells them; one that varies stands for an unknown rank."""
    return [dim if isinstance(dim, int) else -1 for dim in spec.dims or ()] if spec.dims is not None else [-1]


async def _infer(asked: Target, headers: Mapping[bytes, bytes], body: bytes, inference: Inference) -> Answer:
    length = headers.get(codec.HEADER_LENGTH.encode())
    if len(body) > MAX_JSON and length is None:
        raise InvalidArgument(
            f"a JSON body of {len(body)} bytes",
            cause=f"{MAX_JSON} are read at most",
            remedy="send tensors as raw bytes: the binary extension, or gRPC",
        )
    request, inputs = codec.unpack_request(body, None if length is None else length.decode("latin-1"))
    outputs = await inference.run(asked.model, asked.version, inputs, request.parameters.timeout)
    labels = inference.labels
    parts: list[codec.TensorPart] = []
    raw: list[Buffer] = []
    data: Buffer
    wanted = {one.name: one.parameters for one in request.outputs}
    always = request.parameters.binary_data_output or False
    for name, tensor in chosen(outputs, [one.name for one in request.outputs]):
        parameters = wanted.get(name) or codec.Parameters()
        binary = always if parameters.binary_data is None else parameters.binary_data
        if parameters.classification is not None:
            dims, texts = classify(tensor, parameters.classification, labels)
            part, data = _texts(name, dims, texts, binary=binary)
        else:
            if tensor.type in RAW_ONLY and not binary:
                raise InvalidArgument(
                    f"the output {name!r} is {DATATYPES[tensor.type]}, which has no JSON form",
                    remedy="ask for it with binary_data, or by gRPC",
                )
            part, data = codec.part(name, tensor, binary=binary), tensor.data
        parts.append(part)
        if binary:
            raw.append(data)
    version = inference.version_of(asked.model, asked.version)
    head = codec.InferResponse(parts, model_name=asked.model, model_version=version, id=request.id)
    told, packed_body = codec.pack(head, raw)
    return Answer(200, [(name.encode(), value.encode()) for name, value in told.items()], packed_body)


def _texts(name: str, dims: list[int], texts: list[str], *, binary: bool) -> tuple[codec.TensorPart, bytes]:
    """A tensor of texts, and its raw bytes if they are wanted."""
    if not binary:
        return codec.TensorPart(name, tuple(dims), "BYTES", data=texts), b""
    data = packed(texts)
    return codec.TensorPart(name, tuple(dims), "BYTES", codec.Parameters(binary_data_size=len(data))), data


def _check_method(method: str, expected: str) -> None:
    if method != expected and not (expected == "GET" and method == "HEAD"):
        raise MethodNotAllowed(f"{method} is not for this path", remedy=f"use {expected}", allowed=expected)
