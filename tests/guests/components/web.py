"""An HTTP function in Python that echoes, tells what it was asked, and calls a model."""

import struct

from componentize_py_types import Err, Ok
from wit_world.exports import IncomingHandler as Handler
from wit_world.imports import graph, tensor
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


def read(request):
    body = request.consume()
    data = b""
    with body.stream() as stream:
        while True:
            try:
                data += stream.blocking_read(65536)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return data
                raise


def think(name, data):
    try:
        context = graph.load_by_name(name).init_execution_context()
        given = tensor.Tensor([len(data) // 4], tensor.TensorType.FP32, data)
        [(output, made)] = context.compute([("x", given)])
        return 200, f"{output} {struct.unpack(f'<{len(data) // 4}f', made.data())}".encode()
    except Err as error:
        return 500, f"{error.value.code().name}: {error.value.data()}".encode()


class IncomingHandler(Handler):
    def handle(self, request, response_out):
        path = request.path_with_query()
        status, answer = 200, b"hello from python"
        if path.startswith("/echo"):
            answer = read(request)
        elif path.startswith("/think/"):
            status, answer = think(path[7:], read(request))
        elif path.startswith("/ask"):
            names = sorted(name for name, _ in request.headers().entries())
            answer = f"{type(request.method()).__name__} {request.authority()} {names}".encode()
        elif path.startswith("/fail"):
            raise ValueError("on purpose")
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            for at in range(0, len(answer), 4096):
                stream.blocking_write_and_flush(answer[at : at + 4096])
        OutgoingBody.finish(body, None)
