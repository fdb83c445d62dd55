"""The devices that a model may ask for. What is not there is refused, and never replaced in silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import msgspec

from wasmind.catalog.devices import absent
from wasmind.errors import UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wasmind.config import Target
    from wasmind.worker.runtimes.base import Framework
    from wasmind.worker.spec import WorkerSpec
    from wasmind.worker.syscalls import Profile


@dataclass(frozen=True)
class Opened:
    """What a model runs on."""

    spec: WorkerSpec
    """With the target that the model really gets, and what it is given of that."""
    device: str = ""
    """The device, in the framework's words; empty for the CPU."""
    notes: tuple[str, ...] = ()
    """Why it is not the device that was asked for."""

    def profile(self, framework: Framework) -> Profile:
        """The system calls that the process needs."""
        return framework.profile if self.spec.device is None else framework.profile.with_device()


DEVICES: Mapping[Target, str] = {"cpu": "CPU", "gpu": "GPU", "tpu": "TPU"}
_OTHERWISE = 'set target = "cpu", or fallback = "cpu" to run there when the device is missing'


def opened(framework: Framework, spec: WorkerSpec) -> Opened:
    """Open the device that the model is for, before anything of the model is read. Raises
    UnsupportedOperation, unless the operator allows the CPU.
    """
    if spec.target == "cpu":
        return Opened(spec)
    try:
        _check(spec, framework.name)
        return Opened(spec, framework.open_device(spec.target))
    except UnsupportedOperation as error:
        return on_cpu(spec, error)


def on_cpu(spec: WorkerSpec, error: UnsupportedOperation) -> Opened:
    """The model for the CPU alone, with a note that says so. Raises the error where that is not allowed."""
    if spec.target == "cpu" or spec.fallback != "cpu":
        raise error
    why = f"{error.message}: {error.cause}" if error.cause else error.message
    return Opened(msgspec.structs.replace(spec, target="cpu", device=None), notes=(f"on the CPU: {why}",))


def _check(spec: WorkerSpec, framework: str) -> None:
    """Refuse a device that the configuration does not give, or of which something is missing."""
    if spec.device is None:
        raise UnsupportedOperation(
            f"there is no {DEVICES[spec.target]} for {framework} here",
            cause=f"a model's process has the CPU alone, unless [devices.{spec.target}] is configured; for "
            "models that functions load from bytes, with allow_load = true",
            remedy=f"say in [devices.{spec.target}] of wasmind.toml which files it needs; or {_OTHERWISE}",
        )
    wrong = list(absent(spec.device))
    if wrong:
        raise UnsupportedOperation(
            f"there is no {DEVICES[spec.target]} for {framework} here",
            cause=f"[devices.{spec.target}] names what cannot be used: {'; '.join(wrong)}",
            remedy=f"mend [devices.{spec.target}]; or {_OTHERWISE}",
        )


def refuse(target: Target, framework: str, offered: Iterable[str], why: str | None = None) -> NoReturn:
    """Refuse a target that a framework does not find here. Raises UnsupportedOperation."""
    found = f"with what [devices.{target}] gives, it finds {', '.join(offered) or 'nothing'}"
    raise UnsupportedOperation(
        f"there is no {DEVICES[target]} for {framework} here",
        cause=found if why is None else f"{found}: {why[:1000]}",
        remedy=f"install the framework's package for this device, give its driver's files in "
        f"[devices.{target}], or {_OTHERWISE}",
    )


def refuse_part(target: Target, framework: str, operators: Iterable[str]) -> NoReturn:
    """Refuse a model of which the device cannot compute all. Raises UnsupportedOperation."""
    raise UnsupportedOperation(
        f"the {DEVICES[target]} cannot compute all of the model",
        cause=f"{framework} would run on the CPU: {', '.join(sorted(set(operators)))}",
        remedy='set fallback = "cpu" to have that part run there, or target = "cpu"',
    )


def in_part(operators: Iterable[str]) -> str:
    """The note of a model of which the CPU computes a part."""
    return f"on the CPU in part: {', '.join(sorted(set(operators)))}"
