from __future__ import annotations

import pytest

from wasmind.errors import (
    FunctionBusy,
    InferenceTimeout,
    InvalidTensor,
    ModelBusy,
    ModelDied,
    ModelNotFound,
    ModelUnavailable,
    RequestError,
    RuntimeFailed,
    TokenRefused,
    WasmindError,
)
from wasmind.oip.refusal import rest_status, words


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (InvalidTensor, 400),
        (TokenRefused, 401),
        (ModelNotFound, 404),
        (ModelBusy, 429),
        (FunctionBusy, 429),
        (RuntimeFailed, 500),
        (ModelUnavailable, 503),
        (ModelDied, 503),
        (InferenceTimeout, 504),
    ],
)
def test_statuses(kind: type[WasmindError], status: int) -> None:
    assert rest_status(kind("it happened")) == status


@pytest.mark.parametrize("kind", [InvalidTensor, RequestError])
def test_a_mistake_of_the_caller_is_explained(kind: type[WasmindError]) -> None:
    assert words(kind("so", cause="why", remedy="do"), dev=False) == "so. Cause: why. Remedy: do."


def test_what_lies_in_the_node_is_told_without_its_cause() -> None:
    error = ModelUnavailable("the model is away", cause="/srv/models/secret.onnx")
    assert words(error, dev=False) == "the model is away"
    assert "secret" in words(error, dev=True)


def test_a_mistake_of_ours_is_told_by_its_title_alone() -> None:
    assert words(WasmindError("KeyError: /srv"), dev=False) == "Internal error"
