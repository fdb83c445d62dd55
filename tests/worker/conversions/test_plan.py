"""What declarations come to: the signature that functions see, and which calls may run together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.images import array_of, encoded, picture
from support.tokenizers import write_tokenizer
from wasmind import config
from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.plan import Plan
from wasmind.worker.spec import Conversions
from wasmind.worker.wire import Infer

if TYPE_CHECKING:
    from pathlib import Path

F32, U8, I64 = TensorType.F32, TensorType.U8, TensorType.I64


def spec(name: str, kind: TensorType, *dims: Any) -> TensorSpec:
    return TensorSpec(name, kind, dims)


def plan(
    takes: tuple[TensorSpec, ...],
    gives: tuple[TensorSpec, ...],
    labels: tuple[str, ...] = (),
    **declared: Any,
) -> Plan:
    """`declared` has `inputs` and `outputs`, each by name a list of steps."""
    from pathlib import Path

    tables = {
        what: {name: {"convert": steps} for name, steps in named.items()} for what, named in declared.items()
    }
    model = config.parse({"models": {"m": {"path": "m", **tables}}}, Path("/")).models["m"]
    return Plan(
        Conversions(inputs=model.inputs, outputs=model.outputs, labels=labels), Signature(takes, gives)
    )


def call(*dims: tuple[int, ...]) -> Infer:
    return Infer(1, 0, dims, tuple(b"" for _ in dims))


def test_what_is_not_declared_is_not_converted() -> None:
    found = plan(
        (spec("x", F32, "N", 3), spec("m", F32, 1)), (spec("y", F32, "N"),), inputs={"m": ["drop_batch"]}
    )
    assert found.signature.inputs[0] == spec("x", F32, "N", 3)
    assert found.signature.outputs == (spec("y", F32, "N"),)
    x, m = np.zeros((2, 3), np.float32), np.zeros((1, 1), np.float32)
    given = found.to_model([x, m])
    assert given[0] is x, "not even copied"
    assert given[1].shape == (1,)


def test_a_classifier_takes_a_file_and_gives_json() -> None:
    found = plan(
        (spec("image", F32, "N", 3, 8, 8),),
        (spec("scores", F32, "N", 2), spec("features", F32, "N", 4)),
        labels=("cat", "dog"),
        inputs={"image": ["image", {"normalize": {"mean": [127, 127, 127], "std": 128}}]},
        outputs={"scores": ["softmax", "top_k"]},
    )
    assert found.signature == Signature(
        (spec("image", U8, "image_bytes"),),
        (spec("scores", U8, "scores_bytes"), spec("features", F32, 1, 4)),
    ), "one image makes a batch of one"
    data = encoded(picture(8, 8), "PNG")
    (given,) = found.to_model([array_of(data)])
    pixels = np.asarray(picture(8, 8)).transpose(2, 0, 1)[np.newaxis].astype(np.float32)
    assert np.array_equal(given, (pixels - 127) / 128)
    scores, _ = found.from_model([np.zeros((1, 2), np.float32), np.zeros((1, 4), np.float32)])
    assert bytes(scores) == b'[{"label":"cat","index":0,"score":0.5},{"label":"dog","index":1,"score":0.5}]'


def test_steps_run_in_the_order_told() -> None:
    found = plan(
        (spec("x", F32, "N", 3, 4, 5),),
        (spec("y", F32, "N", 3, 4, 5),),
        inputs={"x": [{"cast": {"type": "u8", "scale": 0.5}}, {"layout": "HWC"}, "add_batch"]},
        outputs={"y": ["drop_batch", {"layout": "HWC"}, {"cast": {"type": "u8", "scale": 2.0}}]},
    )
    assert found.signature == Signature((spec("x", U8, 4, 5, 3),), (spec("y", U8, 4, 5, 3),))
    values = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    given = found.to_model([values])
    assert np.array_equal(given[0], values.transpose(2, 0, 1)[None].astype(np.float32) / 2)
    assert np.array_equal(found.from_model(given)[0], values)


def test_one_text_fills_several_inputs(tmp_path: Path) -> None:
    file = str(write_tokenizer(tmp_path / "tokenizer.json"))
    found = plan(
        (
            spec("before", F32, "N"),
            spec("attention_mask", I64, "N", "L"),
            spec("input_ids", I64, "N", "L"),
        ),
        (spec("y", F32, "N", "L", 8),),
        inputs={"text": [{"text": {"tokenizer": file, "length": 6, "pad": True}}]},
    )
    assert found.signature == Signature(
        (spec("before", F32, 1), spec("text", U8, "text_bytes")), (spec("y", F32, 1, 6, 8),)
    )
    before, mask, ids = found.to_model([np.zeros(1, np.float32), array_of(b"hello")])
    assert before.tolist() == [0]
    assert (mask.tolist(), ids.tolist()) == ([[1, 1, 1, 0, 0, 0]], [[1, 4, 2, 0, 0, 0]])


def test_a_text_of_any_length_leaves_the_outputs_open(tmp_path: Path) -> None:
    file = str(write_tokenizer(tmp_path / "tokenizer.json"))
    found = plan(
        (spec("input_ids", I64, "N", "L"),),
        (spec("y", F32, "N", "L"),),
        inputs={"input_ids": [{"text": {"tokenizer": file}}]},
    )
    assert found.signature.outputs == (spec("y", F32, 1, "L"),)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"inputs": {"z": ["add_batch"]}}, "the model has no such input"),
        ({"outputs": {"z": ["softmax"]}}, "the model has no such output"),
        ({"inputs": {"x": ["image"]}}, "an image has 3 dimensions"),
        ({"outputs": {"y": [{"layout": "NHWC"}]}}, "NHWC has 4 dimensions"),
    ],
)
def test_a_declaration_that_does_not_fit_names_itself(declared: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelLoadFailed) as caught:
        plan((spec("x", F32, "N", 3),), (spec("y", F32, "N", 3),), **declared)
    assert words in caught.value.explain()


def test_two_texts_cannot_fill_the_same_input(tmp_path: Path) -> None:
    file = str(write_tokenizer(tmp_path / "tokenizer.json"))
    step = [{"text": {"tokenizer": file}}]
    with pytest.raises(ModelLoadFailed, match="two conversions fill"):
        plan((spec("input_ids", I64, "N", "L"),), (), inputs={"a": step, "b": step})


def test_which_calls_may_run_together() -> None:
    images = plan((spec("x", U8, "N", 8, 8, 3),), (spec("y", F32, "N"),), inputs={"x": ["image"]})
    assert images.company(call((1234,))) == images.company(call((99,))) == (1, ((),)), (
        "however long the files"
    )
    rows = plan((spec("x", F32, "N", "M"),), (), inputs={"x": [{"cast": "u8"}]})
    assert rows.company(call((3, 7))) == (3, ((7,),))
    assert rows.company(call((3, 8)))[1] != rows.company(call((3, 7)))[1]
    assert rows.company(call((0, 7))) == (1, None)
    single = plan((spec("x", F32, "N", "M"),), (), inputs={"x": ["add_batch"]})
    assert single.company(call((7,))) == (1, ((7,),))
    both = plan((spec("x", F32, "N", 2), spec("z", F32, "N", 2)), (), inputs={"x": ["add_batch"]})
    assert both.company(call((2,), (1, 2)))[0] == 1
    assert both.company(call((2,), (3, 2))) == (1, None), "one row and three do not go together"


def test_examples_are_converted_before_anybody_waits() -> None:
    found = plan((spec("x", U8, 1, 8, 8, 3),), (), inputs={"x": ["image"]})
    found.rehearse()


def test_a_batch_dimension_that_a_layout_moves_is_still_counted() -> None:
    moved = plan((spec("x", F32, "N", 4, 5),), (), inputs={"x": [{"layout": "HWC"}]})
    assert moved.signature.inputs[0] == spec("x", F32, 4, 5, "N")
    assert moved.company(call((4, 5, 7))) == (7, ((4, 5),))
    wrapped = plan((spec("x", F32, "N", 4),), (), inputs={"x": ["drop_batch"]})
    assert wrapped.company(call((1, 3, 4))) == (3, ((1, 4),))
