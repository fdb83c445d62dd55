"""The README's first function is the example's, and it works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "double"
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The README's one block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


@pytest.mark.parametrize(("language", "file"), [("c", "double.c"), ("toml", "wasmind.toml")])
def test_its_code_is_the_examples(language: str, file: str) -> None:
    assert block(language) == (EXAMPLE / file).read_text()


def test_it_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^make \w+", README.partition("##")[0], re.MULTILINE)
    assert commands == ["make demo", "make test"]


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_first_function_answers(tmp_path: Path) -> None:
    (build,) = re.findall(r"^python -m (ziglang cc .*)$", README, re.MULTILINE)
    words = build.replace("double.wasm", str(tmp_path / "double.wasm")).split()
    subprocess.run([sys.executable, "-m", *words], cwd=EXAMPLE, check=True)
    run = [
        sys.executable,
        "-m",
        "wasmind",
        "run",
        "-c",
        str(EXAMPLE / "wasmind.toml"),
        str(tmp_path / "double.wasm"),
    ]
    answered = subprocess.run(run, input=b"20", capture_output=True, check=True)
    assert answered.stdout == b"Content-Type: text/plain\n\n41\n"
