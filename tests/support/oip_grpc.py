"""A gRPC inference server by the protocol's own stubs, which answers as different servers do."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import grpc
from open_inference.grpc import protocol, service


class Servicer(service.GRPCInferenceServiceServicer):  # type: ignore[misc]  # the stubs are untyped
    """Answers as the model's name says: raw or typed contents, a status code, nothing."""

    def __init__(self) -> None:
        self.given_up = asyncio.Event()
        self.metadata: dict[str, str] = {}
        self.remaining: float | None = None
        """Seconds that the last inference was given."""

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        if request.name == "unknown":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown model")
        answer = protocol.ModelMetadataResponse(name=request.name)
        answer.inputs.add(name="x", datatype="FP32", shape=[-1, 4])
        answer.outputs.add(name="y", datatype="FP32", shape=[-1, 4])
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.metadata = dict(context.invocation_metadata())
        self.remaining = context.time_remaining()
        name = request.model_name
        if hasattr(grpc.StatusCode, name):
            await context.abort(getattr(grpc.StatusCode, name), "its own words")
        if name == "hang":
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.set()
        (raw,) = request.raw_input_contents
        if name == "echo":
            answer = protocol.ModelInferResponse(model_name=name, raw_output_contents=[raw])
            answer.outputs.add(name="y", datatype="FP32", shape=request.inputs[0].shape)
            return answer
        y = [2 * value + 1 for value in struct.unpack(f"<{len(raw) // 4}f", raw)]
        answer = protocol.ModelInferResponse(model_name=name)
        shape, datatype = [1, len(y)], "FP32"
        if name == "shape":
            shape = [-1, -4]
        if name == "half-float":
            datatype = "FP16"
        output = answer.outputs.add(name="y", datatype=datatype, shape=shape)
        if name == "ints":
            output.datatype = "INT8"
            output.contents.int_contents.extend([1, 2, 3, 400])
        elif name in ("typed", "half-float"):
            output.contents.fp32_contents.extend(y)
        elif name != "nothing":
            answer.raw_output_contents.append(
                struct.pack(f"<{len(y)}f", *y)[: -1 if name == "short" else None]
            )
        if name == "more":
            answer.raw_output_contents.append(b"")
        return answer
