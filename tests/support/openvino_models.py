"""A small OpenVINO model, written out."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = struct.pack("<2f", 2.0, 1.0)


def _port(number: int, dims: tuple[int, ...], name: str = "") -> str:
    named = f' names="{name}"' if name else ""
    inside = "".join(f"<dim>{dim}</dim>" for dim in dims)
    return f'<port id="{number}" precision="FP32"{named}>{inside}</port>'


def _layer(number: int, name: str, kind: str, data: str, inputs: str = "", outputs: str = "") -> str:
    parts = f"{data}{f'<input>{inputs}</input>' if inputs else ''}"
    parts += f"<output>{outputs}</output>" if outputs else ""
    return f'<layer id="{number}" name="{name}" type="{kind}" version="opset1">{parts}</layer>'


def linear(first: int = 1, *, offset: int = 0, size: int = 4) -> str:
    """y = 2x + 1 for f32 [1,4]; a first dimension of -1 is open. The first weight is where it is said."""
    row, one = (first, 4), (1,)
    shape = f"{'?' if first < 0 else first},4"
    layers = [
        _layer(0, "x", "Parameter", f'<data shape="{shape}" element_type="f32"/>', "", _port(0, row, "x")),
        _layer(
            1,
            "two",
            "Const",
            f'<data element_type="f32" shape="1" offset="{offset}" size="{size}"/>',
            "",
            _port(0, one),
        ),
        _layer(
            2,
            "twice",
            "Multiply",
            '<data auto_broadcast="numpy"/>',
            _port(0, row) + _port(1, one),
            _port(2, row),
        ),
        _layer(
            3, "one", "Const", '<data element_type="f32" shape="1" offset="4" size="4"/>', "", _port(0, one)
        ),
        _layer(
            4, "y", "Add", '<data auto_broadcast="numpy"/>', _port(0, row) + _port(1, one), _port(2, row, "y")
        ),
        _layer(5, "out", "Result", "", _port(0, row)),
    ]
    edges = [(0, 0, 2, 0), (1, 0, 2, 1), (2, 2, 4, 0), (3, 0, 4, 1), (4, 2, 5, 0)]
    joined = "".join(
        f'<edge from-layer="{a}" from-port="{b}" to-layer="{c}" to-port="{d}"/>' for a, b, c, d in edges
    )
    return (
        '<?xml version="1.0"?><net name="linear" version="11">'
        f"<layers>{''.join(layers)}</layers><edges>{joined}</edges></net>"
    )


def write(directory: Path, name: str = "linear") -> Path:
    """Both files of `linear`."""
    (directory / f"{name}.bin").write_bytes(WEIGHTS)
    path = directory / f"{name}.xml"
    path.write_text(linear())
    return path
