"""Whether what the configuration gives of a device is there, and this user may use it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.config import Device


def absent(device: Device) -> Iterator[str]:
    """Say of each file that the device needs why it cannot be used; nothing where all of them can."""
    for path in device.nodes:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            yield f"{path}: {error.strerror}"
            continue
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            yield f"{path}: it is no device file"
        elif not os.access(path, os.R_OK | os.W_OK):
            yield f"{path}: this user may not use it (its group may: see ls -l {path})"
    for path in device.read:
        if not os.path.exists(path):
            yield f"{path}: No such file or directory"
        elif not os.access(path, os.R_OK):
            yield f"{path}: this user may not read it"
