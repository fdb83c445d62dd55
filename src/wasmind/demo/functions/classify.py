"""A photo's likeliest classes: 224 rows of 224 RGB pixels in, five labels with probabilities out."""

from heapq import nlargest
from pathlib import Path

from wasmind_guest import HttpError, handler, nn

SHAPE = [1, 224, 224, 3]
LABELS = Path(__file__).with_name("labels.txt").read_text().splitlines()  # read when the component is built


@handler
def classify(request):
    pixels = request.body
    if len(pixels) != 224 * 224 * 3:
        raise HttpError(400, f"expected 224x224 RGB pixels (150528 bytes), got {len(pixels)} bytes")
    image = nn.tensor(pixels, shape=SHAPE)
    chances = nn.load("classifier")(image=image)["probabilities"].array()
    best = nlargest(5, range(len(chances)), key=chances.__getitem__)
    return {"classes": [{"label": LABELS[at], "probability": round(chances[at], 4)} for at in best]}
