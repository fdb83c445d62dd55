"""`[devices.gpu]` and `[devices.tpu]`: what the process of a model for such a device is given."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from wasmind.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.config.model import Target

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_OUR_OWN = re.compile(r"PYTHON|LD_PRELOAD\Z|LD_AUDIT\Z")
"""What decides which code runs before a process is confined."""


class Device(Section, frozen=True):
    """What a model's process has of one kind of device, beyond what every model's process has."""

    nodes: list[str] = []
    """Device files, opened for reading and writing."""
    read: list[str] = []
    """Files and directories that its driver reads: libraries, descriptions."""
    env: dict[str, str] = {}
    """What its driver is told."""
    allow_load: bool = False
    """Whether models that functions load from bytes may have it too."""


class Devices(Section, frozen=True):
    """The devices that models may have; None: no model has one."""

    gpu: Device | None = None
    tpu: Device | None = None

    def of(self, target: Target) -> Device | None:
        """What a model with this target is given."""
        return {"cpu": None, "gpu": self.gpu, "tpu": self.tpu}[target]

    @property
    def for_bytes(self) -> Devices:
        """Those that models which functions load from bytes may have."""
        allowed = (device if device and device.allow_load else None for device in (self.gpu, self.tpu))
        return Devices(**dict(zip(("gpu", "tpu"), allowed, strict=True)))

    @property
    def given(self) -> dict[Target, Device]:
        """Those that are configured."""
        targets: tuple[Target, ...] = ("gpu", "tpu")
        return {target: device for target in targets if (device := self.of(target)) is not None}


NO_DEVICES = Devices()


def device_problems(devices: Devices) -> Iterator[str]:
    """Say each wrong setting, with its place in the file."""
    for target, device in devices.given.items():
        for setting, paths in (("nodes", device.nodes), ("read", device.read)):
            for path in paths:
                if not path or "\0" in path:
                    yield f"devices.{target}.{setting}: {path!r} is no path"
        if any(os.path.normpath(path) in ("/", "//") for path in device.read):
            yield f'devices.{target}.read: "/" is everything there is: name what the driver reads'
        for name, value in device.env.items():
            if not _VARIABLE.match(name) or "\0" in value:
                yield f"devices.{target}.env: {name!r} cannot be set: a name has letters, digits and _ only"
            elif _OUR_OWN.match(name):
                yield f"devices.{target}.env: {name} would change what runs before the process is confined"
