from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.backend import FixedModels, OnnxBackend
from support.onnx_models import linear
from wasmind.config import Limits
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.oip.inference import Inference

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def backend() -> OnnxBackend:
    """y = 2x + 1 on four numbers."""
    return OnnxBackend(linear())


@pytest.fixture
def inference(backend: OnnxBackend) -> Iterator[Inference]:
    """One request's use of a session that may name `linear`; nothing of it is left at the end."""
    graph = Graph("linear", backend, labels=("zero", "one", "two"))
    session = Session(FixedModels(**{"linear": graph, "linear@1": graph}), Limits(), "acme")
    used = Inference(session)
    yield used
    used.close()
    assert backend.held == 0
    assert session.memory_used == 0
