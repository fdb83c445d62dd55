"""A function without models: any host of wasi:http runs it."""

from wasmind_guest import Response, handler


@handler
def hello(request):
    if request.path == "/streamed":
        return Response((chunk.upper() for chunk in request.chunks()), 201)
    return {"method": request.method, "path": request.path, "query": request.query, "body": request.text()}
