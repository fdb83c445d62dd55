"""The REST form of the protocol: JSON, with the binary tensor extension's raw bytes behind it.

Both directions stand here, so what this node sends as a client it also understands as a server. A body is
the JSON part followed by the tensors' bytes in order; `Inference-Header-Content-Length` tells where the JSON
ends. Whatever arrives is checked as if an attacker had written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from math import prod
from typing import Any

import msgspec
import numpy as np

from wasmind.backends.oip.datatypes import DATATYPES, RAW_ONLY, type_of
from wasmind.errors import InvalidArgument, RuntimeFailed, UnsupportedOperation
from wasmind.nn.tensor import MAX_RANK, Buffer, Tensor, TensorType, byte_length
from wasmind.worker.runtimes.base import DTYPES

HEADER_LENGTH = "inference-header-content-length"
MAX_TENSORS = 1024
MAX_ANSWER = 256 << 20
"""The largest answer read, in bytes; a server that sends more is cut off."""
_LENGTH = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
Named = tuple[str, Tensor]


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of the binary and classification extensions, and Triton's time-out; others are ignored."""

    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool | None = None
    classification: int | None = None
    timeout: int | None = None
    """In microseconds, for a whole request."""


NO_PARAMETERS = Parameters()


class TensorPart(msgspec.Struct, omit_defaults=True):
    """A tensor in the JSON part: its data, or in `parameters` how many raw bytes it has."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters | None = None
    """Some servers send null for none."""
    data: Any = None


class WantedOutput(msgspec.Struct, omit_defaults=True):
    """An output that a request asks for."""

    name: str
    parameters: Parameters = NO_PARAMETERS


class InferRequest(msgspec.Struct, omit_defaults=True):
    """The JSON part of an inference request."""

    inputs: list[TensorPart]
    id: str | None = None
    parameters: Parameters = NO_PARAMETERS
    outputs: list[WantedOutput] = []


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The JSON part of an inference response."""

    outputs: list[TensorPart]
    model_name: str | None = None
    model_version: str | None = None
    id: str | None = None


class ErrorResponse(msgspec.Struct):
    """What a server answers instead."""

    error: Any = ""


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_encode = msgspec.json.Encoder().encode
_decode_response = msgspec.json.Decoder(InferResponse).decode
_decode_request = msgspec.json.Decoder(InferRequest).decode
_decode_error = msgspec.json.Decoder(ErrorResponse).decode


def part(name: str, tensor: Tensor, *, binary: bool) -> TensorPart:
    """The JSON part of one tensor; with `binary` its bytes are to follow the JSON."""
    datatype = DATATYPES[tensor.type]
    if binary:
        size = Parameters(binary_data_size=len(tensor.data))
        return TensorPart(name, tensor.dims, datatype, size)
    if tensor.type in RAW_ONLY:
        raise UnsupportedOperation(
            f"{datatype} has no JSON form",
            cause="the protocol carries it as raw bytes only, and the server does not offer those by REST",
            remedy='set protocol = "grpc" for the model, or use f32',
        )
    values = np.frombuffer(tensor.data, DTYPES[tensor.type])
    return TensorPart(name, tensor.dims, datatype, data=values.tolist())


def pack(head: InferRequest | InferResponse, raw: Iterable[Buffer]) -> tuple[dict[str, str], bytes]:
    """Headers and body of a message whose JSON part is `head` and whose raw tensors are `raw`."""
    json, tail = _encode(head), tuple(raw)
    if not tail:
        return {"content-type": "application/json"}, json
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(json))}
    return headers, b"".join((json, *tail))


def pack_request(
    inputs: Sequence[Named], *, binary: bool, outputs: Sequence[str] = (), request_id: str | None = None
) -> tuple[dict[str, str], bytes]:
    """Headers and body of an inference request; with `binary` outputs are asked for as raw bytes too."""
    head = InferRequest(
        [part(name, tensor, binary=binary) for name, tensor in inputs],
        id=request_id,
        parameters=Parameters(binary_data_output=True if binary else None),
        outputs=[WantedOutput(name) for name in outputs],
    )
    return pack(head, (tensor.data for _, tensor in inputs) if binary else ())


def unpack_response(body: bytes | bytearray, header_length: str | None) -> list[Named]:
    """The outputs of an inference response. Raises RuntimeFailed for anything that is none."""
    try:
        json, raw = _split(body, header_length)
        return _tensors(_decode_response(json).outputs, raw)
    except _UNREADABLE as error:
        raise RuntimeFailed("the server's answer is no inference response", cause=str(error)) from error
    except InvalidArgument as error:
        raise RuntimeFailed("the server's answer is malformed", cause=error.message) from error


def unpack_request(body: bytes, header_length: str | None) -> tuple[InferRequest, list[Named]]:
    """An inference request and its inputs. Raises InvalidArgument."""
    json, raw = _split(body, header_length)
    try:
        head = _decode_request(json)
    except _UNREADABLE as error:
        raise InvalidArgument("the body is no inference request", cause=str(error)) from error
    try:
        return head, _tensors(head.inputs, raw)
    except RuntimeFailed as error:
        raise InvalidArgument(error.message, cause=error.cause, remedy=error.remedy) from error


def error_text(body: bytes | bytearray) -> str:
    """The words of an error response, whatever its shape; at most 500 characters."""
    try:
        said = _decode_error(body).error
    except _UNREADABLE:
        said = body[:500].decode("utf-8", "replace")
    return (said if isinstance(said, str) else repr(said))[:500] or "no text"


def _split(body: bytes | bytearray, header_length: str | None) -> tuple[memoryview, memoryview]:
    view = memoryview(body)
    if header_length is None:
        return view, view[:0]
    if not _LENGTH.match(header_length) or int(header_length) > len(body):
        raise InvalidArgument(f"{HEADER_LENGTH} is {header_length[:20]!r} for a body of {len(body)} bytes")
    return view[: int(header_length)], view[int(header_length) :]


def _tensors(parts: Sequence[TensorPart], raw: memoryview) -> list[Named]:
    if len(parts) > MAX_TENSORS:
        raise InvalidArgument(f"{len(parts)} tensors, of at most {MAX_TENSORS}")
    found, at = [], 0
    for one in parts:
        size = one.parameters.binary_data_size if one.parameters is not None else None
        if size is not None and not 0 <= size <= len(raw) - at:
            raise InvalidArgument(f"tensor {one.name!r} claims {size} raw bytes of the {len(raw) - at} left")
        found.append((one.name, _tensor(one, raw[at : at + size] if size is not None else None)))
        at += size or 0
    if at != len(raw):
        raise InvalidArgument(f"{len(raw)} raw bytes follow the JSON, and its tensors account for {at}")
    return found


def _tensor(one: TensorPart, raw: memoryview | None) -> Tensor:
    type_, dims = type_of(one.datatype), one.shape
    if len(dims) > MAX_RANK or any(dim < 0 for dim in dims):
        raise InvalidArgument(f"tensor {one.name!r} has the impossible shape {list(dims)[: MAX_RANK + 1]}")
    expected = byte_length(type_, dims)
    data: Buffer = raw if raw is not None else _from_json(one, type_, dims)
    if len(data) != expected:
        raise InvalidArgument(
            f"tensor {one.name!r} has {len(data)} bytes, and {one.datatype} {list(dims)} takes {expected}"
        )
    return Tensor(type_, dims, data)


def _from_json(one: TensorPart, type_: TensorType, dims: tuple[int, ...]) -> bytes:
    if type_ in RAW_ONLY:
        raise InvalidArgument(f"tensor {one.name!r}: {one.datatype} is carried as raw bytes only")
    if not isinstance(one.data, list):
        raise InvalidArgument(f"tensor {one.name!r} has neither a list of data nor a binary_data_size")
    flat, kinds = _flat(one.data)
    if not kinds <= _kinds(type_):
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InvalidArgument(f"tensor {one.name!r} has data that is not {one.datatype}: {found}")
    if len(flat) != prod(dims):
        raise InvalidArgument(f"tensor {one.name!r} has {len(flat)} values for the shape {list(dims)}")
    try:
        with np.errstate(over="ignore"):  # a number too large for FP32 is infinite
            return np.array(flat, DTYPES[type_]).tobytes()
    except OverflowError as error:
        raise InvalidArgument(f"tensor {one.name!r} has data that is not {one.datatype}: {error}") from error


def _flat(data: list[Any]) -> tuple[list[Any], set[type]]:
    """The values of a list, nested or not, row-major, and which types they are of."""
    kinds = set(map(type, data))
    while kinds == {list}:
        data = list(chain.from_iterable(data))
        kinds = set(map(type, data))
    return data, kinds


def _kinds(type_: TensorType) -> set[type]:
    """What JSON's values of an element type are; whatever numpy would convert beyond these is a mistake."""
    match DTYPES[type_].kind:
        case "b":
            return {bool}
        case "f":
            return {float, int}
    return {int}
