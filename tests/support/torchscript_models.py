"""Small TorchScript files, written out: programs as PyTorch serialises them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = {
    "linear": "return torch.add(torch.mul(x, 2), 1)",
    "sum": "return torch.sum(x)",
    "two": "_0 = torch.softmax(x, -1)\n    return (_0, torch.argmax(x, -1))",
    "named": 'return {"double": torch.mul(x, 2), "index": torch.argmax(x, -1)}',
    "refuses": 'ops.prim.RaiseException("three is the most", "builtins.ValueError")\n    return x',
    "table": "return torch.embedding(torch.reshape(torch.arange(8), [4, 2]), x)",
    "matrix": "return torch.matmul(x, torch.ones([4, 2]))",
    "image": "return torch.conv2d(x, torch.ones([1, 3, 3, 3]))",
    "big": "return torch.sum(torch.ones([262144, 262144]))",
    "forever": "_0 = x\n    while True:\n      _0 = torch.add(_0, 1)\n    return _0",
}
_RETURNS = {"two": "Tuple[Tensor, Tensor]", "named": "Dict[str, Tensor]"}

# A __torch__.M without attributes but `training`, and an empty tuple.
DATA = (
    b"\x80\x02c__torch__\nM\nq\x00)\x81}(X\x08\x00\x00\x00trainingq\x01\x89X\x16\x00\x00\x00"
    b"_is_full_backward_hookq\x02Nub."
)
CONSTANTS = b"\x80\x02)."


def program(body: str, arguments: str = "x: Tensor", returns: str = "Tensor") -> str:
    return (
        "class M(Module):\n"
        "  __parameters__ = []\n"
        "  __buffers__ = []\n"
        "  training : bool\n"
        "  _is_full_backward_hook : Optional[bool]\n"
        f"  def forward(self: __torch__.M,\n    {arguments}) -> {returns}:\n"
        f"    {body}\n"
    )


def archive(code: str, *, data: bytes = DATA, **extra: Any) -> bytes:
    """A file of one module; `extra` entries are JSON."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as made:
        made.writestr("m/data.pkl", data)
        made.writestr("m/byteorder", "little")
        made.writestr("m/code/__torch__.py", code)
        made.writestr("m/constants.pkl", CONSTANTS)
        made.writestr("m/version", "3\n")
        for name, value in extra.items():
            made.writestr(f"m/extra/{name}.json", json.dumps(value))
    return held.getvalue()


def model(name: str, **extra: Any) -> bytes:
    """One of `PROGRAMS`."""
    return archive(program(PROGRAMS[name], returns=_RETURNS.get(name, "Tensor")), **extra)


LINEAR = {"inputs": [{"name": "x", "dims": [1, 4]}], "outputs": [{"name": "y", "dims": [1, 4]}]}


def write(directory: Path, name: str = "linear", signature: Any = LINEAR) -> Path:
    """A file, with a signature in it."""
    path = directory / f"{name}.pt"
    path.write_bytes(model(name, signature=signature) if signature else model(name))
    return path
