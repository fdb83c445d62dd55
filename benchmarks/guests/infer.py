"""A wasi:http function in Python that runs the named model "linear" (y = 2x + 1) and answers y's bytes."""

import struct

from componentize_py_types import Ok
from wit_world.exports import IncomingHandler as Handler
from wit_world.imports import graph, tensor
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(Handler):
    def handle(self, request, response_out):
        context = graph.load_by_name("linear").init_execution_context()
        given = tensor.Tensor([1, 1], tensor.TensorType.FP32, struct.pack("<f", 3))
        [(_, made)] = context.compute([("x", given)])
        response = OutgoingResponse(Fields())
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(made.data())
        OutgoingBody.finish(body, None)
