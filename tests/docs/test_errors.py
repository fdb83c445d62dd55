"""The reference of errors names every error of the tree as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import wasmind
from wasmind.errors import WasmindError

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "errors.md").read_text()


def tree(kind: type[WasmindError] = WasmindError) -> Iterator[type[WasmindError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("wasmind."):
            yield from tree(child)


def test_every_error_is_listed_with_its_status_and_code() -> None:
    for module in walk_packages(wasmind.__path__, "wasmind."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    listed = {
        code: (int(status), nn, title)
        for code, status, nn, title in re.findall(
            r"^\| `([\w-]+)` \| (\d+) \| ([\w-]+) \| (.*?) \|", PAGE, re.MULTILINE
        )
    }
    actual = {kind.code: (kind.status, kind.nn_code.value, kind.title) for kind in tree()}
    assert listed == actual
