"""`[devices.gpu]` and `[devices.tpu]`: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wasmind import config
from wasmind.errors import ConfigError

HERE = Path("/srv/node")
GPU = {
    "nodes": ["/dev/dri/renderD128"],
    "read": ["drivers", "/sys/class/drm"],
    "env": {"VK_DRIVER_FILES": "/usr/share/vulkan/icd.d/radeon_icd.json"},
}


def refusal(**devices: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse({"devices": devices}, HERE)
    return caught.value.cause or ""


def test_a_device_is_read_and_its_relative_paths_are_beside_the_file() -> None:
    devices = config.parse({"devices": {"gpu": GPU}}, HERE).devices
    assert devices.gpu == config.Device(
        nodes=["/dev/dri/renderD128"], read=["/srv/node/drivers", "/sys/class/drm"], env=GPU["env"]
    )
    assert (devices.of("gpu"), devices.of("tpu"), devices.of("cpu")) == (devices.gpu, None, None)


def test_without_configuration_there_is_none() -> None:
    assert config.parse({}, HERE).devices == config.NO_DEVICES
    assert config.NO_DEVICES.given == {}


def test_models_from_bytes_have_what_is_allowed_them() -> None:
    devices = config.parse({"devices": {"gpu": GPU | {"allow_load": True}, "tpu": {}}}, HERE).devices
    assert devices.for_bytes == config.Devices(gpu=devices.gpu)
    assert config.NO_DEVICES.for_bytes == config.NO_DEVICES


def test_an_empty_device_is_given_all_the_same() -> None:
    """A driver in software may need nothing."""
    assert config.parse({"devices": {"tpu": {}}}, HERE).devices.given == {"tpu": config.Device()}


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ({"npu": {}}, "unknown field `npu` - at `$.devices`"),
        ({"cpu": {}}, "unknown field `cpu` - at `$.devices`"),
        ({"gpu": {"node": ["/dev/x"]}}, "unknown field `node` - at `$.devices.gpu`"),
        ({"gpu": {"nodes": "/dev/x"}}, "Expected `array`, got `str` - at `$.devices.gpu.nodes`"),
        ({"gpu": {"nodes": [""]}}, "devices.gpu.nodes: '' is no path"),
        ({"gpu": {"read": ["a\0b"]}}, "devices.gpu.read: 'a\\x00b' is no path"),
        ({"tpu": {"read": ["/"]}}, 'devices.tpu.read: "/" is everything there is'),
        ({"tpu": {"read": ["/usr/.."]}}, 'devices.tpu.read: "/" is everything there is'),
        ({"gpu": {"env": {"A B": "x"}}}, "devices.gpu.env: 'A B' cannot be set"),
        ({"gpu": {"env": {"A": "x\0"}}}, "devices.gpu.env: 'A' cannot be set"),
        ({"gpu": {"env": {"PYTHONPATH": "/x"}}}, "devices.gpu.env: PYTHONPATH would change what runs"),
        ({"gpu": {"env": {"LD_PRELOAD": "/x"}}}, "devices.gpu.env: LD_PRELOAD would change what runs"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(devices: dict[str, Any], words: str) -> None:
    assert words in refusal(**devices)
