"""Photos as they come, through a whole node: the example classify-jpeg with its real model."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image, ImageOps

from support.images import bombs, encoded, mutants
from support.nodes import NodeProcess
from wasmind.demo import prepare
from wasmind.errors import PackageMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples/classify-jpeg"
PORTS = """
[node]
workers = 1
dev = true
ports = { functions = 0, api = 0, oip_rest = 0, oip_grpc = 0 }
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("classify-jpeg")
    try:
        prepare.prepare(directory / "model")
    except PackageMissing as error:
        pytest.skip(error.explain())
    (directory / "wasmind.toml").write_text(PORTS + (EXAMPLE / "wasmind.toml").read_text())
    (command,) = re.findall(
        r"^python (-m ziglang cc .*) -o classify.wasm$", (EXAMPLE / "README.md").read_text(), re.MULTILINE
    )
    built = directory / "classify.wasm"
    subprocess.run([sys.executable, *command.split(), "-o", str(built)], cwd=EXAMPLE, check=True)
    node = NodeProcess(directory)
    try:
        yield node.await_ready()
    finally:
        node.stop()


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    try:
        return {Path(path).stem: Path(path).read_bytes() for path in prepare.photos()}
    except PackageMissing as error:
        pytest.skip(error.explain())


def classify(node: NodeProcess, photo: bytes) -> Any:
    answer = node.get("/classify", method="POST", body=photo)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def by_hand(model: Path, photo: bytes) -> np.ndarray[Any, Any]:
    """The probabilities, with Pillow, numpy and onnxruntime alone."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB")
    side = min(image.size) * 0.875
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side)
    pixels = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC, box=box))[np.newaxis]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": pixels})
    return np.asarray(found)[0]


def test_photos_are_classified_as_they_come(node: NodeProcess, photos: dict[str, bytes]) -> None:
    for name, label in (("coffee", "espresso"), ("camera", "tripod"), ("rocket", "missile")):
        assert classify(node, photos[name])[0]["label"] == label


def test_the_answers_are_those_made_by_hand(node: NodeProcess, photos: dict[str, bytes]) -> None:
    labels = (node.directory / "model/labels.txt").read_text().splitlines()
    for photo in photos.values():
        wanted = by_hand(node.directory / "model/classifier.onnx", photo)
        found = classify(node, photo)
        order = np.argsort(-wanted, kind="stable")[:5]
        assert [one["index"] for one in found] == order.tolist()
        assert [one["label"] for one in found] == [labels[index] for index in order]
        assert [np.float32(one["score"]) for one in found] == [wanted[index] for index in order], (
            "bit for bit"
        )


def test_many_at_once_are_answered_as_one(node: NodeProcess, photos: dict[str, bytes]) -> None:
    files = [*photos.values()] * 6
    alone = {photo: classify(node, photo) for photo in photos.values()}
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda photo: classify(node, photo), files))
    for photo, found in zip(files, together, strict=True):
        assert [one["index"] for one in found] == [one["index"] for one in alone[photo]]
        assert np.allclose([one["score"] for one in found], [one["score"] for one in alone[photo]], atol=1e-5)


def test_what_is_no_photo_is_the_clients_fault_and_is_explained(node: NodeProcess) -> None:
    answer = node.get("/classify", method="POST", body=b"hello")
    assert answer.status == 400
    assert answer.text == "compute: invalid argument\n"
    node.until(lambda: "no JPEG, PNG or WebP image" in node.log)
    assert "send the bytes of the file as it is" in node.log


def test_hostile_photos_cost_nobody_anything(node: NodeProcess, photos: dict[str, bytes]) -> None:
    before = node.model("classifier")
    for body in (*bombs().values(), *mutants(60, seed=5)):
        assert node.get("/classify", method="POST", body=body or b"x").status in (200, 400)
    after = node.model("classifier")
    assert (after.pid, after.restarts, after.state) == (before.pid, 0, "ready")
    assert classify(node, photos["coffee"])[0]["label"] == "espresso"


def test_a_large_photo_is_decoded_and_a_huge_one_refused(node: NodeProcess) -> None:
    large = Image.effect_noise((4000, 3000), 50).convert("RGB")
    assert len(classify(node, encoded(large, "JPEG", quality=60))) == 5
    huge = Image.new("RGB", (6000, 5000))
    answer = node.get("/classify", method="POST", body=encoded(huge, "PNG"))
    assert answer.status == 400
    node.until(lambda: "6000 x 5000 pixels; at most 25000000 are decoded" in node.log)


def test_functions_see_the_converted_signature(node: NodeProcess) -> None:
    found = node.api("/api/v1/models/classifier").json()
    (given,), (gives,) = found["signature"]["inputs"], found["signature"]["outputs"]
    assert (given["type"], given["dims"]) == ("u8", ["image_bytes"])
    assert (gives["type"], gives["dims"]) == ("u8", ["probabilities_bytes"])


def test_programs_outside_get_the_same_by_the_open_inference_protocol(
    node: NodeProcess, photos: dict[str, bytes]
) -> None:
    url = node.status().inference_url
    assert url is not None
    photo = photos["coffee"]
    given = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [len(photo)],
        "parameters": {"binary_data_size": len(photo)},
    }
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [given], "outputs": [wanted]}).encode()
    answer = httpx.post(
        f"{url}/v2/models/classifier/infer",
        content=head + photo,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.status_code == 200
    body = answer.content[int(answer.headers["Inference-Header-Content-Length"]) :]
    assert json.loads(body) == classify(node, photo)
    described = httpx.get(f"{url}/v2/models/classifier").json()
    assert described["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1]}]


def test_without_the_declaration_the_refusal_names_it(node: NodeProcess, photos: dict[str, bytes]) -> None:
    declaration = "convert = [{ image = { keep = 0.875 } }]"
    before = node.model("classifier").digest
    node.reconfigure(declaration, "convert = []")
    try:
        node.reload()
        answer = node.get("/classify", method="POST", body=photos["coffee"])
        assert (answer.status, answer.text) == (400, "set_input: invalid argument\n")
        node.until(lambda: "a PNG image as it is in its file" in node.log)
        assert 'declare convert = ["image"] in [models.NAME.inputs.image]' in node.log
        assert node.model("classifier").digest != before, "another model, to a function"
    finally:
        node.reconfigure("convert = []", declaration)
        node.reload()
    node.until(lambda: node.model("classifier").state == "ready")
    assert classify(node, photos["coffee"])[0]["label"] == "espresso"
    assert node.model("classifier").digest == before
