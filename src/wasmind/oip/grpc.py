"""The gRPC form of the protocol: messages in and out as bytes; the methods of one model.

Messages are the published ones of the protocol (package open-inference-grpc).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from open_inference.grpc import protocol

from wasmind.backends.oip.contents import TYPED, put_typed, tensors
from wasmind.backends.oip.datatypes import DATATYPES
from wasmind.errors import InvalidArgument, RuntimeFailed
from wasmind.oip.classification import classify, packed
from wasmind.oip.inference import Inference, chosen
from wasmind.oip.rest import EXTENSIONS, tensor_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.nn.signature import Signature


def read(kind: Any, raw: bytes) -> Any:
    """A message of its bytes. Raises InvalidArgument."""
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InvalidArgument(f"the message is no {kind.DESCRIPTOR.name}", cause=str(error)) from error


def server_metadata(version: str) -> bytes:
    """What the server is."""
    told = protocol.ServerMetadataResponse(name="wasmind", version=version, extensions=EXTENSIONS)
    return bytes(told.SerializeToString())


def model_metadata(name: str, signature: Signature, versions: Sequence[str]) -> bytes:
    """A model's metadata."""
    told = protocol.ModelMetadataResponse(name=name, versions=versions, platform="wasmind")
    for side, specs in ((told.inputs, signature.inputs), (told.outputs, signature.outputs)):
        for spec in specs:
            side.add(**tensor_metadata(spec))
    return bytes(told.SerializeToString())


async def infer(request: Any, inference: Inference) -> bytes:
    """Answer a ModelInferRequest. Raises NnErrors.

    Raw contents are answered by raw ones; typed contents by typed ones, where every output has such a form.
    """
    try:
        inputs = tensors(request.inputs, request.raw_input_contents)
    except RuntimeFailed as error:
        raise InvalidArgument(error.message, cause=error.cause, remedy=error.remedy) from error
    timeout = request.parameters["timeout"].int64_param if "timeout" in request.parameters else None
    outputs = await inference.run(request.model_name, request.model_version, inputs, timeout)
    picked = chosen(outputs, [one.name for one in request.outputs])
    classes = {
        one.name: one.parameters["classification"].int64_param for one in request.outputs if one.parameters
    }
    raw = bool(request.raw_input_contents) or any(DATATYPES[tensor.type] not in TYPED for _, tensor in picked)
    version = inference.version_of(request.model_name, request.model_version)
    answer = protocol.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    for name, tensor in picked:
        if count := classes.get(name):
            shape, texts = classify(tensor, count, inference.labels)
            part = answer.outputs.add(name=name, datatype="BYTES", shape=shape)
            if raw:
                answer.raw_output_contents.append(packed(texts))
            else:
                part.contents.bytes_contents.extend(text.encode() for text in texts)
            continue
        part = answer.outputs.add(name=name, datatype=DATATYPES[tensor.type], shape=tensor.dims)
        if raw:
            answer.raw_output_contents.append(bytes(tensor.data))
        else:
            put_typed(part, tensor)
    return bytes(answer.SerializeToString())
