"""Answers a question with a language model, piece by piece: the client reads while the model writes."""

from wasmind_guest import HttpError, Response, handler, nn

ASSISTANT = "assistant"
SYSTEM = "Answer in one or two sentences."
HEADERS = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}


@handler
def chat(request):
    question = request.text()
    if not question:
        raise HttpError(400, "Ask something in the body of the request.")
    tokens = int(request.query.get("n", 128))
    pieces = nn.load(ASSISTANT).stream(question, chat=True, system=SYSTEM, temp=0, n_predict=tokens)
    return Response(pieces, headers=HEADERS)
