"""onnxruntime's execution providers for devices other than the CPU: those it was built with, and plug-ins.

A provider counts once it has computed something. A session for one has it first in its list or is not made:
onnxruntime's Python would else take the CPU in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wasmind.config import Target

CPU = "CPUExecutionProvider"
TRIAL = bytes.fromhex(
    "08083a350a0e0a01780a017812017922034164641201745a0f0a0178120a0a08080112040a0208"
    "04620f0a0179120a0a08080112040a02080442040a00100d"
)
"""An ONNX model: y = x + x, of 4 numbers."""

_BUILT_IN: Mapping[Target, Mapping[str, Mapping[str, str]]] = {
    "cpu": {},
    "gpu": {
        "CUDAExecutionProvider": {},
        "MIGraphXExecutionProvider": {},
        "ROCMExecutionProvider": {},
        "WebGpuExecutionProvider": {},
        "OpenVINOExecutionProvider": {"device_type": "GPU"},
    },
    "tpu": {"OpenVINOExecutionProvider": {"device_type": "NPU"}},
}
"""Those that a build of onnxruntime may have, with what they are told."""
_HARDWARE: Mapping[Target, str] = {"cpu": "CPU", "gpu": "GPU", "tpu": "NPU"}
_PLUGINS = "onnxruntime_ep_"
"""What the packages of plug-ins are called."""


@dataclass(frozen=True)
class Provider:
    """One provider on one device."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[Any, ...] = ()
    """A plug-in's devices; none for those that are built in."""

    def session(self, model: bytes | str, options: ort.SessionOptions) -> ort.InferenceSession:
        """A session that has this provider, and the CPU for what it cannot compute. Raises what onnxruntime
        raises, RuntimeError when it left the provider out.
        """
        if self.name != CPU:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if self.devices:
            options.add_provider_for_devices(list(self.devices), dict(self.options))
            session = ort.InferenceSession(model, options, enable_fallback=0)
        else:
            chosen = [(self.name, dict(self.options))]
            session = ort.InferenceSession(model, options, providers=chosen, enable_fallback=0)
        if session.get_providers()[0] != self.name:
            raise RuntimeError(f"onnxruntime made the session without {self.name}")
        return session


def opened(
    target: Target, options: Callable[[], ort.SessionOptions]
) -> tuple[Provider, ort.InferenceSession]:
    """The first provider that computes on the device, with a session that keeps the device open. Raises
    LookupError, which says why there is none.
    """
    why = []
    for find in (_built_in, _plugged_in):
        try:
            for provider in find(target):
                try:
                    return provider, _tried(provider, options())
                except Exception as error:  # noqa: BLE001 - a driver may fail in any way
                    why.append(f"{provider.name}: {error}")
        except Exception as error:  # noqa: BLE001 - so may a plug-in
            why.append(str(error))
    raise LookupError("; ".join(why) or "none of its providers is for such a device")


def _built_in(target: Target) -> Iterator[Provider]:
    """Those that this onnxruntime was built with, the one it prefers first."""
    known = _BUILT_IN[target]
    yield from (Provider(name, known[name]) for name in ort.get_available_providers() if name in known)


def _plugged_in(target: Target) -> Iterator[Provider]:
    """Those of installed packages, as they find devices."""
    for package in iter_modules():
        if package.name.startswith(_PLUGINS):
            library = import_module(package.name).get_library_path()
            ort.register_execution_provider_library(package.name, library)
    kind = getattr(ort.OrtHardwareDeviceType, _HARDWARE[target])
    for one in ort.get_ep_devices():
        if one.device.type == kind:
            yield Provider(one.ep_name, devices=(one,))


def _tried(provider: Provider, options: ort.SessionOptions) -> ort.InferenceSession:
    """A session that has computed something. Raises what onnxruntime raises, RuntimeError."""
    session = provider.session(TRIAL, options)
    (y,) = session.run(None, {"x": np.arange(4, dtype=np.float32)})
    if on_cpu(session) or y.tolist() != [0, 2, 4, 6]:
        raise RuntimeError(f"an addition came out as {y.tolist()}; on the CPU: {on_cpu(session)}")
    return session


def on_cpu(session: ort.InferenceSession) -> list[str]:
    """The operators of a session's model that the CPU computes."""
    parts = session.get_provider_graph_assignment_info()
    return [node.op_type for part in parts if part.ep_name == CPU for node in part.get_nodes()]
