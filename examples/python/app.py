"""y = 2x + 1, computed by a named model for a JSON list of numbers: curl -d '[20, 0.5]' http://127.0.0.1:8080/"""

from wasmind_guest import HttpError, handler, nn


@handler
def double(request):
    if request.method != "POST":
        return "POST a JSON list of numbers\n"
    x = nn.tensor(request.json(), "f32", [-1, 1])
    try:
        y = nn.load("linear")(x=x)["y"]
    except nn.RuntimeFailed as error:  # overloaded, or its process is being started again
        raise HttpError(503, str(error)) from None
    return y.flat()
