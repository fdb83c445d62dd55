"""`wasmind run`: a command with its streams, arguments, environment and exit code, and wasi-nn beside."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support.commands import wasmind
from support.guests import build_c
from support.onnx_models import linear
from support.toolchains import WIT, c
from wasmind.sandbox import from_text

if TYPE_CHECKING:
    from pathlib import Path

ECHO = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static char block[4096];
int main(int argc, char **argv) {
    ssize_t got;
    for (int i = 1; i < argc; i++) fprintf(stderr, "[%s]", argv[i]);
    if (getenv("A")) fprintf(stderr, "A=%s", getenv("A"));
    while ((got = read(0, block, sizeof block)) > 0)
        for (ssize_t done = 0, put; done < got; done += put)
            if ((put = write(1, block + done, got - done)) < 0) return 9;
    return argc > 1 ? atoi(argv[1]) : 0;
}
"""


@pytest.fixture(scope="module")
def echo(site: Path) -> Path:
    source = site / "echo.c"
    source.write_text(ECHO)
    (site / "echo.wasm").write_bytes(build_c(source))
    return site


def test_a_model_named_on_the_command_line_answers(site: Path, tmp_path: Path) -> None:
    ended = wasmind(
        *("run", "--model", f"twice={site / 'linear.onnx'}", site / "infer.wasm", "twice"),
        cwd=tmp_path,
        stdin=b"1 2 3 4",
    )
    assert (ended.code, ended.out, ended.err) == (0, "3 5 7 9 \n", "")


@pytest.mark.slow
def test_a_model_of_the_configuration_answers(site: Path) -> None:
    ended = wasmind("run", "infer.wasm", cwd=site, stdin=b"0 0 0 1")
    assert (ended.code, ended.out) == (0, "1 1 1 3 \n")


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["onnx::{0}", "digits:onnx:cpu:{0}/model.onnx"])
def test_models_are_preloaded_as_by_other_hosts(site: Path, tmp_path: Path, spec: str) -> None:
    directory = tmp_path / "digits"
    directory.mkdir()
    (directory / "model.onnx").write_bytes(linear())
    ended = wasmind(
        *("run", "--nn-preload", spec.format(directory), site / "infer.wasm", "digits"),
        cwd=tmp_path,
        stdin=b"1 1 1 1",
    )
    assert (ended.code, ended.out) == (0, "3 3 3 3 \n")


def test_a_call_that_fails_is_explained_on_stderr(site: Path) -> None:
    ended = wasmind("run", "infer.wasm", "other", cwd=site)
    assert ended.code == 1
    assert ended.out == "load_by_name: 8 not found\n"
    assert "there is no model 'other'" in ended.err
    assert "--model other=PATH" in ended.err


def test_streams_are_binary_arguments_and_variables_arrive_and_the_exit_code_is_the_guests(
    echo: Path,
) -> None:
    data = random.Random(0).randbytes(3_000_000) + b"\r\n\x00\xff"
    ended = wasmind("run", "--env", "A=b=c", "echo.wasm", "7", "--json", "-c", "x y", cwd=echo, stdin=data)
    assert ended.code == 7
    assert ended.stdout == data
    assert ended.err == "[7][--json][-c][x y]A=b=c"


def test_input_is_streamed_while_it_comes(echo: Path) -> None:
    command = [sys.executable, "-m", "wasmind", "run", "echo.wasm"]
    with subprocess.Popen(command, cwd=echo, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.slow
def test_a_reader_that_leaves_is_the_guests_to_know(echo: Path) -> None:
    command = [sys.executable, "-m", "wasmind", "run", "echo.wasm"]
    with subprocess.Popen(command, cwd=echo, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.close()
        process.stdin.write(b"x" * 100)
        process.stdin.close()
        assert process.wait(20) == 9


def test_an_interrupt_ends_it(echo: Path) -> None:
    command = [sys.executable, "-m", "wasmind", "run", "echo.wasm"]
    with subprocess.Popen(command, cwd=echo, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"x\n")
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 130


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "options", "code", "said"),
    [
        ('(module (func (export "_start") unreachable))', [], 134, "trapped"),
        ('(module (func (export "_start") (loop (br 0))))', ["--cpu-ms", "50"], 134, "CPU"),
        ('(module (memory (export "memory") 100))', ["--memory", "1MiB"], 134, "memory"),
        ('(module (import "env" "nothing" (func)))', [], 3, "nothing"),
        ('(module (memory (export "memory") 1))', [], 3, "_start"),
    ],
)
def test_programs_that_fail_say_why(
    tmp_path: Path, text: str, options: list[str], code: int, said: str
) -> None:
    (tmp_path / "guest.wasm").write_bytes(from_text(text))
    ended = wasmind("run", *options, "guest.wasm", cwd=tmp_path)
    assert ended.code == code
    assert said in ended.err
    assert "error: " in ended.err


@pytest.mark.slow
def test_what_is_no_program_and_what_is_no_model_is_refused(site: Path) -> None:
    assert wasmind("run", "linear.onnx", cwd=site).code == 3
    assert wasmind("run", "gone.wasm", cwd=site).code == 3
    assert wasmind("run", "--model", "nonsense", "infer.wasm", cwd=site).code == 2
    assert wasmind("run", "--memory", "much", "infer.wasm", cwd=site).code == 2


def test_nothing_is_left_behind(site: Path, tmp_path: Path) -> None:
    ended = wasmind("run", site / "infer.wasm", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert ended.code == 1
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


@pytest.fixture(scope="module")
def component(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("components") / "command.wasm"
    path.write_bytes(c("command", WIT, "command"))
    return path


def test_a_component_is_run_as_a_command(component: Path, tmp_path: Path) -> None:
    ended = wasmind("run", "--env", "A=1", component, "ok", cwd=tmp_path, stdin=b"input")
    assert (ended.code, ended.out) == (0, "ok A=1: input")


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "code"), [("err", 1), ("exit", 0), ("exit9", 9), ("trap", 134)])
def test_a_components_end(component: Path, tmp_path: Path, mode: str, code: int) -> None:
    assert wasmind("run", component, mode, cwd=tmp_path).code == code


@pytest.mark.slow
def test_a_component_that_is_no_command(tmp_path: Path) -> None:
    path = tmp_path / "server.wasm"
    path.write_bytes(c("hello", WIT, "http"))
    ended = wasmind("run", path, cwd=tmp_path)
    assert ended.code == 3
    assert "does not export wasi:cli/run" in ended.err
