"""Functions for wasmind in Python: an HTTP handler, and models by name.

    from wasmind_guest import handler, nn

    @handler
    def double(request):
        return nn.load("linear")(x=request.json())["y"].tolist()

`wasmind build` makes a component of it with componentize-py. Everything at the module's top level runs once,
when the component is built; a request finds it done. There are no files and no sockets.
"""

from wasmind_guest.http import Headers, HttpError, Request, Response, handler
from wasmind_guest.tensor import Tensor, tensor

__all__ = ["Headers", "HttpError", "Request", "Response", "Tensor", "handler", "tensor"]
