"""What conversions need, imported in time, and explained where it is missing."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module, reload

import pytest

from wasmind.config import Converted, Step
from wasmind.config.convert import Image, Text
from wasmind.errors import PackageMissing
from wasmind.worker.conversions.load import import_packages
from wasmind.worker.spec import Conversions


def declared(step: Step) -> Conversions:
    return Conversions(inputs={"x": Converted(convert=[step])})


@pytest.mark.parametrize(
    ("step", "package", "extra"),
    [
        (Step(image=Image()), "PIL", "image"),
        (Step(text=Text(tokenizer="t")), "tokenizers", "text"),
    ],
)
def test_a_missing_package_names_the_command_that_installs_it(
    step: Step, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module(f"wasmind.worker.conversions.{extra}")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, package, None)
        without.delitem(sys.modules, module.__name__)
        with warnings.catch_warnings(), pytest.raises(PackageMissing) as caught:
            import_packages(declared(step))
    assert caught.value.remedy == f"pip install 'wasmind[{extra}]'"
    assert reload(module)


def test_numbers_need_nothing() -> None:
    with warnings.catch_warnings():
        import_packages(declared(Step(add_batch=True)))
