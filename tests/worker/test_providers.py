"""Which of onnxruntime's providers a device is opened with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from support.onnx_models import linear
from wasmind.errors import UnsupportedOperation
from wasmind.worker.runtimes import providers
from wasmind.worker.runtimes.onnx import Runtime
from wasmind.worker.runtimes.providers import CPU, TRIAL, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_trial_doubles_four_numbers() -> None:
    onnx.checker.check_model(onnx.load_model_from_string(TRIAL), full_check=True)
    (y,) = ort.InferenceSession(TRIAL).run(None, {"x": np.float32([1, 2, 3, 4])})
    assert y.tolist() == [2, 4, 6, 8]


def test_a_provider_that_onnxruntime_leaves_out_makes_no_session() -> None:
    """It warns, and takes the CPU: what a node must never do."""
    with (
        pytest.warns(UserWarning, match="not in available provider names"),
        pytest.raises(RuntimeError, match="without CUDAExecutionProvider"),
    ):
        Provider("CUDAExecutionProvider").session(linear(), ort.SessionOptions())


def test_what_only_the_cpu_computes_is_no_device() -> None:
    """Recording where operators run is what tells: the provider is in the session's list in any case."""
    session = Provider("AzureExecutionProvider").session(TRIAL, ort.SessionOptions())
    assert session.get_providers()[0] == "AzureExecutionProvider"
    assert providers.on_cpu(session) == ["Add"]
    with pytest.raises(RuntimeError, match=r"on the CPU: \['Add'\]"):
        providers._tried(Provider("AzureExecutionProvider"), ort.SessionOptions())


def test_a_session_for_the_cpu_is_not_watched() -> None:
    session = Provider(CPU).session(TRIAL, ort.SessionOptions())
    with pytest.raises(Exception, match="record_ep_graph_assignment_info"):
        providers.on_cpu(session)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("gpu", ["MIGraphXExecutionProvider", "CUDAExecutionProvider", "OpenVINOExecutionProvider"]),
        ("tpu", ["OpenVINOExecutionProvider"]),
    ],
)
def test_those_that_are_built_in_come_as_onnxruntime_prefers_them(
    target: Any, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ["MIGraphXExecutionProvider", "CUDAExecutionProvider", "OpenVINOExecutionProvider", CPU]
    monkeypatch.setattr(ort, "get_available_providers", lambda: there)
    found = list(providers._built_in(target))
    assert [one.name for one in found] == expected
    assert found[-1].options["device_type"] == {"gpu": "GPU", "tpu": "NPU"}[target]


def test_a_plug_in_is_registered_and_asked_for_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[tuple[str, str]] = []

    def packages() -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(name="onnxruntime_ep_some")
        yield SimpleNamespace(name="onnxruntime")

    module = SimpleNamespace(get_library_path=lambda: "/lib/some.so")
    kinds = ort.OrtHardwareDeviceType
    there = [
        SimpleNamespace(ep_name=name, device=SimpleNamespace(type=kind))
        for name, kind in (("A", kinds.CPU), ("Some", kinds.GPU), ("Other", kinds.NPU))
    ]
    monkeypatch.setattr(providers, "iter_modules", packages)
    monkeypatch.setattr(providers, "import_module", lambda _name: module)
    monkeypatch.setattr(
        ort, "register_execution_provider_library", lambda *given: registered.append(given), raising=True
    )
    monkeypatch.setattr(ort, "get_ep_devices", lambda: there)
    assert [one.name for one in providers._plugged_in("gpu")] == ["Some"]
    assert registered == [("onnxruntime_ep_some", "/lib/some.so")]


def test_why_there_is_none_is_said_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupError, match="none of its providers is for such a device"):
        providers.opened("gpu", ort.SessionOptions)
    monkeypatch.setattr(
        providers, "_built_in", lambda _target: iter([Provider("AzureExecutionProvider"), Provider(CPU)])
    )

    def broken(_target: str) -> Iterator[Provider]:
        raise OSError("no such library")

    monkeypatch.setattr(providers, "_plugged_in", broken)
    with pytest.raises(UnsupportedOperation) as caught:
        Runtime().open_device("gpu")
    cause = caught.value.cause or ""
    assert "AzureExecutionProvider: an addition came out as [0.0, 2.0, 4.0, 6.0]; on the CPU" in cause
    assert cause.endswith("no such library")
