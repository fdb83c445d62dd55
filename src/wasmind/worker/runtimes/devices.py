"""The devices that a model may ask for. What is not there is refused, and never replaced in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from wasmind.errors import UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wasmind.config import Target

DEVICES: Mapping[Target, str] = {"cpu": "CPU", "gpu": "GPU", "tpu": "TPU"}


def refuse(target: Target, framework: str, offered: Iterable[str]) -> NoReturn:
    """Refuse a target that a framework does not have here. Raises UnsupportedOperation."""
    raise UnsupportedOperation(
        f"there is no {DEVICES[target]} for {framework} here",
        cause=f"it offers {', '.join(offered)} in a model's process, which is given no other device",
        remedy='set target = "cpu", or fallback = "cpu" to run there when the device is missing',
    )
