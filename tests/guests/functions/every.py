"""Uses everything that the Python helper has."""

from array import array

from wasmind_guest import HttpError, Response, handler, nn

CALLS = []


@handler
def every(request):
    kind = request.path.rpartition("/")[2]
    CALLS.append(kind)
    return KINDS[kind](request)


def asked(request):
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "host": request.host,
        "header": request.headers["X-Two"],
        "missing": request.headers.get("x-none"),
        "calls": len(CALLS),
    }


def streamed(request):
    return Response(
        (chunk.upper() for chunk in request.chunks()), 201, {"Content-Type": "text/x-own", "X-A": "b"}
    )


def by_name(request):
    made = nn.load("linear")(x=nn.tensor(request.json(), "f32", [-1, 1]))["y"]
    return [made.type, list(made.shape), made.tolist()]


def by_position(request):
    return nn.load("linear")(nn.tensor(array("f", [1, 2])).reshape(2, 1))["y"].array().tolist()


def refused(request):
    said = []
    for call in (
        lambda: nn.load("other"),
        lambda: nn.load("linear")(z=b"1"),
        lambda: nn.load("linear")(x=b"1234"),
    ):
        try:
            call()
        except nn.NotFound as error:
            said.append(f"NotFound {error.code} {error}")
        except nn.InvalidArgument as error:
            said.append(f"InvalidArgument {error.code} {error}")
    return said


def teapot(request):
    raise HttpError(418, "short and stout")


def broken(request):
    return {}["on purpose"]


KINDS = {
    "asked": asked,
    "streamed": streamed,
    "echo": lambda request: request.body,
    "text": lambda request: request.text(),
    "name": by_name,
    "position": by_position,
    "refused": refused,
    "teapot": teapot,
    "broken": broken,
}
