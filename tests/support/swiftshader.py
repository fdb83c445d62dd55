"""A GPU in software: Chromium's SwiftShader, a Vulkan driver without a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmind.config import Device

PLACES = (
    Path(__file__).resolve().parents[2] / "build" / "tools" / "swiftshader" / "usr" / "lib" / "chromium",
    Path("/usr/lib/chromium"),
)
DRIVER, DESCRIPTION, LOADER = "libvk_swiftshader.so", "vk_swiftshader_icd.json", "libvulkan.so.1"


def place() -> Path | None:
    """The directory that has the driver and Vulkan's loader."""
    return next((one for one in PLACES if (one / DRIVER).exists() and (one / LOADER).exists()), None)


needed = pytest.mark.skipif(place() is None, reason="no SwiftShader (Debian has it in chromium-common)")
"""For tests that compute on it."""


def device(**changes: object) -> Device:
    """What a model's process is given of it, as an operator would write it."""
    at = place()
    assert at is not None
    settings = {
        "read": [str(at / DESCRIPTION), str(at / DRIVER)],
        "env": {"VK_DRIVER_FILES": str(at / DESCRIPTION), "LD_LIBRARY_PATH": str(at)},
    }
    return Device(**(settings | changes))  # type: ignore[arg-type]


def toml() -> str:
    """The same in a node's configuration."""
    given = device()
    env = ", ".join(f'{name} = "{value}"' for name, value in given.env.items())
    return f"[devices.gpu]\nread = {given.read}\nenv = {{ {env} }}\n"
