"""What models' processes found out is there for the next ones; a disk that is full is no failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from support.nodes import prepare
from wasmind import config
from wasmind.nn.signature import Signature
from wasmind.node.learned import Learned
from wasmind.node.plan import ModelPlan, make_plan
from wasmind.worker.spec import Confinement, Ready

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = Signature(inputs=(), outputs=())
READY = Ready(
    signature=SIGNATURE,
    runtime="onnxruntime 1",
    load_ms=1.0,
    warm_up_ms=2.0,
    memory=3,
    batch=1,
    confinement=Confinement(landlock=0, seccomp=False),
)


@pytest.fixture
def plan(tmp_path: Path) -> ModelPlan:
    directory = prepare(tmp_path)
    (model,) = make_plan(config.load(directory / "wasmind.toml"), directory / "state").models
    return model


def served(plan: ModelPlan, state: str, report: Ready | None = READY) -> Any:
    entry = msgspec.structs.replace(plan.entry("/socket"), state=state, signature=SIGNATURE)
    return SimpleNamespace(plan=plan, entry=entry, report=report)


def test_a_ready_models_signature_and_figures_are_kept(tmp_path: Path, plan: ModelPlan) -> None:
    Learned(tmp_path).keep(served(plan, "ready"))
    later = Learned(tmp_path)
    assert later.applied_to(plan).signature == SIGNATURE
    assert [found.memory for found in later.figures.of(plan.digest)] == [3]


def test_nothing_is_kept_of_one_that_is_not_ready(tmp_path: Path, plan: ModelPlan) -> None:
    learned = Learned(tmp_path)
    learned.keep(served(plan, "loading"))
    assert learned.applied_to(plan).signature is None
    assert not learned.figures.of(plan.digest)


def test_a_model_without_a_process_has_no_figures(tmp_path: Path, plan: ModelPlan) -> None:
    learned = Learned(tmp_path)
    learned.keep(served(plan, "ready", report=None))
    assert learned.applied_to(plan).signature == SIGNATURE
    assert not learned.figures.of(plan.digest)


def test_a_directory_that_cannot_be_written_is_no_failure(tmp_path: Path, plan: ModelPlan) -> None:
    (tmp_path / "signatures").write_text("")
    (tmp_path / "figures").write_text("")
    Learned(tmp_path).keep(served(plan, "ready"))
