"""The command as a whole: quick help, a version, errors with a cause and a remedy, documented exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import wasmind as package
from support.commands import wasmind
from wasmind.cli.main import EXIT_CODES
from wasmind.errors import ConfigError, GuestTrap, ModelLoadFailed, NodeError, ProgramError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_version(tmp_path: Path) -> None:
    ended = wasmind("--version", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, f"wasmind {package.__version__}\n")


def test_help_names_all_commands_and_exit_codes(tmp_path: Path) -> None:
    ended = wasmind("--help", cwd=tmp_path)
    assert ended.code == 0
    assert not {
        *("serve", "run", "compile", "doctor", "demo"),
        *("status", "reload", "stop", "models", "functions"),
    } - set(ended.out.split())
    assert "Exit codes" in ended.out


def test_help_is_quick(tmp_path: Path) -> None:
    spent = []
    for _ in range(3):
        before = os.times()
        wasmind("--help", cwd=tmp_path)
        after = os.times()
        spent.append(
            after.children_user - before.children_user + after.children_system - before.children_system
        )
    assert min(spent) < 0.5  # CPU seconds: 0.25 here, and a heavy import would double it


def test_help_imports_nothing_heavy() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, wasmind.cli.main; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"wasmtime", "numpy", "fastapi", "structlog", "prometheus_client", "asyncio"} & set(loaded)


@pytest.mark.parametrize("command", ["serve", "status", "models ls"])
def test_a_configuration_that_is_not_there_is_told(tmp_path: Path, command: str) -> None:
    ended = wasmind(*command.split(), "-c", "gone.toml", cwd=tmp_path)
    assert ended.code == 2
    assert "error: cannot read gone.toml" in ended.err
    assert "cause: No such file or directory" in ended.err
    assert "remedy: " in ended.err
    assert ended.out == ""


def test_with_json_an_error_is_a_document_too(tmp_path: Path) -> None:
    ended = wasmind("functions", "ls", "-c", "gone.toml", "--json", cwd=tmp_path)
    assert ended.code == 2
    assert ended.json["error"]["code"] == "config-invalid"
    assert ended.json["error"]["remedy"]


def test_wrong_arguments_end_with_2(tmp_path: Path) -> None:
    assert wasmind("serve", "--no-such-option", cwd=tmp_path).code == 2


def test_exit_codes_are_those_of_the_errors() -> None:
    for error, words in (
        (NodeError, "1 failed"),
        (ConfigError, "2 wrong"),
        (ProgramError, "3 program"),
        (ModelLoadFailed, "4 model"),
        (GuestTrap, "134 guest"),
    ):
        assert f"{error.exit_code} {words.split()[1]}" in EXIT_CODES
