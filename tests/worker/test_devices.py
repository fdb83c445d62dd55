"""Which device a model's process opens, and what is said where it opens none."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from support.workers import spec_of
from wasmind.config import Device
from wasmind.errors import UnsupportedOperation
from wasmind.worker import spawn
from wasmind.worker.runtimes.devices import in_part, on_cpu, opened, refuse, refuse_part
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.config import Target
    from wasmind.worker.runtimes.base import LoadedModel
    from wasmind.worker.spec import WorkerSpec

    Made = Callable[..., WorkerSpec]

GIVEN = Device(read=["/usr/lib"])


class Framework:
    """One that finds a device, or the reason that it is made with."""

    name = "frame 1.0"
    profile = Profile(load=frozenset({"sync"}))

    def __init__(self, why: str | None = None) -> None:
        self.why = why
        self.asked: list[Target] = []

    def open_device(self, target: Target) -> str:
        self.asked.append(target)
        if self.why:
            refuse(target, self.name, ["CPU"], self.why)
        return "Vulkan"

    def load(self, spec: WorkerSpec) -> LoadedModel:
        raise AssertionError(spec)


@pytest.fixture
def spec(tmp_path: Path) -> Made:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")
    return functools.partial(spec_of, path)


def test_a_model_for_the_cpu_opens_nothing(spec: Made) -> None:
    framework, cpu = Framework(), spec()
    on = opened(framework, cpu)
    assert (on.spec, on.device, on.notes, framework.asked) == (cpu, "", (), [])
    assert on.profile(framework) is framework.profile


def test_a_model_for_a_device_opens_it(spec: Made) -> None:
    framework, gpu = Framework(), spec(target="gpu", device=GIVEN, fallback="cpu")
    on = opened(framework, gpu)
    assert (on.spec, on.device, on.notes, framework.asked) == (gpu, "Vulkan", (), ["gpu"])
    assert on.profile(framework) == framework.profile.with_device()


def test_without_configuration_the_framework_is_not_even_asked(spec: Made) -> None:
    framework = Framework()
    with pytest.raises(UnsupportedOperation) as caught:
        opened(framework, spec(target="tpu"))
    error = caught.value
    assert error.message == "there is no TPU for frame 1.0 here"
    assert "unless [devices.tpu] is configured" in (error.cause or "")
    assert "say in [devices.tpu] of wasmind.toml which files it needs" in (error.remedy or "")
    assert 'fallback = "cpu"' in (error.remedy or "")
    assert framework.asked == []


def test_a_file_that_is_missing_is_named(spec: Made) -> None:
    device = Device(nodes=["/dev/dri/none"], read=["/none"])
    with pytest.raises(UnsupportedOperation) as caught:
        opened(Framework(), spec(target="gpu", device=device))
    assert "[devices.gpu] names what cannot be used: /dev/dri/none: No such file or directory; /none: No" in (
        caught.value.cause or ""
    )
    assert "mend [devices.gpu]" in (caught.value.remedy or "")


def test_what_the_framework_finds_instead_is_told(spec: Made) -> None:
    with pytest.raises(UnsupportedOperation) as caught:
        opened(Framework("no adapter"), spec(target="gpu", device=GIVEN))
    assert caught.value.cause == "with what [devices.gpu] gives, it finds CPU: no adapter"
    assert "give its driver's files in [devices.gpu]" in (caught.value.remedy or "")


@pytest.mark.parametrize("given", [None, Device(nodes=["/dev/none"]), GIVEN])
def test_the_cpu_takes_over_where_that_is_allowed_and_has_nothing_of_the_device(
    spec: Made, given: Device | None
) -> None:
    framework = Framework("no adapter")
    on = opened(framework, spec(target="gpu", device=given, fallback="cpu"))
    assert (on.spec.target, on.spec.device, on.device) == ("cpu", None, "")
    (note,) = on.notes
    assert note.startswith("on the CPU: there is no GPU for frame 1.0 here: ")
    assert on.profile(framework) is framework.profile


def test_a_model_of_which_a_part_is_missing(spec: Made) -> None:
    with pytest.raises(UnsupportedOperation) as caught:
        refuse_part("gpu", "Provider", ["NonZero", "Cast", "NonZero"])
    assert caught.value.cause == "Provider would run on the CPU: Cast, NonZero"
    assert in_part(["NonZero", "Cast", "NonZero"]) == "on the CPU in part: Cast, NonZero"
    with pytest.raises(UnsupportedOperation):
        on_cpu(spec(target="gpu", device=GIVEN), caught.value)
    assert on_cpu(spec(target="gpu", fallback="cpu"), caught.value).spec.target == "cpu"


def test_only_a_process_with_a_device_has_its_variables(spec: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/of/the/node")
    device = Device(env={"VK_DRIVER_FILES": "/of/the/device", "LD_LIBRARY_PATH": "/lib/driver"})
    found = spawn._environment(spec(target="gpu", device=device))
    assert (found["VK_DRIVER_FILES"], found["LD_LIBRARY_PATH"]) == ("/of/the/device", "/lib/driver")
    assert "VK_DRIVER_FILES" not in spawn._environment(spec())
