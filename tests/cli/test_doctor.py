"""`wasmind doctor`: a healthy machine passes, and what is missing is told with its cost."""

from __future__ import annotations

import resource
import socket
import sys
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any

import pytest

from support.commands import wasmind
from wasmind import config
from wasmind.cli import checks
from wasmind.worker.spec import Confinement

if TYPE_CHECKING:
    from pathlib import Path

    from support.nodes import NodeProcess


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    return config.parse({"node": {"ports": {"functions": 0, "api": 0}}}, tmp_path)


NOT_GIVEN = "not configured, so no model has one"


def found(settings: config.Config, name: str) -> checks.Check:
    return next(check for check in checks.examine(settings) if check.name == name)


def test_a_machine_that_can_serve_passes(node: NodeProcess) -> None:
    ended = wasmind("doctor", cwd=node.directory)
    assert ended.code == 0, ended.out
    for subject in ("landlock", "seccomp", "runtime onnx", "cores", "guest memory", "open files", "port"):
        assert subject in ended.out
    assert f"(process {node.process.pid})" in ended.out


def test_a_taken_port_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "wasmind.toml").write_text(f"[node]\nports = {{ functions = {port}, api = 0 }}\n")
        ended = wasmind("doctor", "--json", cwd=tmp_path)
    assert ended.code == 1
    (failure,) = [check for check in ended.json if check["verdict"] == "failure"]
    assert failure["name"] == f"port {port}"
    assert "is taken" in failure["found"]
    assert failure["cost"] == "no node starts"
    assert "ports.functions" in failure["remedy"]


def test_a_slow_build_of_python_is_told(settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, arguments = "7f00-7f01 r-xp 00 00:00 0 /usr/lib/libpython3.11.so.1.0\n", "'--enable-shared'"
    monkeypatch.setattr(checks, "_read", lambda path: maps if path == "/proc/self/maps" else None)
    monkeypatch.setattr(checks.sysconfig, "get_config_var", lambda name: arguments)
    told = found(settings, "python")
    assert told.verdict == "info"
    assert "fewer requests" in (told.cost or "")
    arguments += " '--enable-optimizations'"
    assert found(settings, "python").verdict == "ok"
    maps, arguments = "7f00-7f01 r-xp 00 00:00 0 /usr/bin/python3.11\n", "'--enable-shared'"
    assert found(settings, "python").verdict == "ok", "Debian's: it has both, and runs the one in one piece"


def test_without_confinement_models_are_refused(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Confinement(landlock=0, seccomp=False, notes=("no Landlock: old kernel",))
    monkeypatch.setattr(checks, "probe", lambda: held)
    for name in ("landlock", "seccomp"):
        check = found(settings, name)
        assert check.verdict == "failure"
        assert "refused" in (check.cost or "")
        assert check.remedy
    assert found(settings, "confinement").found == "no Landlock: old kernel"


def test_a_missing_runtime_is_told_with_how_to_install_it(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "installed_version", lambda name: None if name == "onnx" else "1.0")
    check = found(settings, "runtime onnx")
    assert (check.verdict, check.cost) == ("info", "others read onnx")
    assert check.remedy == "pip install 'wasmind[onnx]'"
    assert found(settings, "runtime openvino").found.startswith("openvino 1.0, reads onnx, openvino")


@pytest.mark.parametrize("model", [{"runtime": "onnx"}, {"encoding": "onnx"}])
def test_a_runtime_that_a_model_needs_is_a_warning(
    model: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.parse({"models": {"m": {"path": "m.onnx"} | model}}, tmp_path)
    there = {"tflite"}
    monkeypatch.setattr(checks, "installed_version", lambda name: "1.0" if name in there else None)
    check = found(settings, "runtime onnx")
    assert (check.verdict, check.cost) == ("warning", "no models in onnx")


def test_a_machine_without_any_runtime_cannot_serve(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "installed_version", lambda name: None)
    assert found(settings, "runtimes").verdict == "failure"


def test_a_package_that_a_conversion_needs_is_a_failure_where_one_is_declared(
    settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(settings, "conversion image").found.startswith("pillow")

    def gone(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", gone)
    check = found(settings, "conversion text")
    assert (check.verdict, check.remedy) == ("info", "pip install 'wasmind[text]'")
    inputs = {"x": {"convert": ["image"]}}
    wanting = config.parse({"models": {"m": {"path": "m.onnx", "inputs": inputs}}}, tmp_path)
    assert found(wanting, "conversion image").verdict == "failure"


def test_few_descriptors_and_a_foreign_python_are_told(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    check = found(settings, "open files")
    assert (check.verdict, check.found.split()[0]) == ("warning", "4096")
    monkeypatch.setattr(sys, "version_info", (3, 14))
    assert found(settings, "python").verdict == "failure"


def test_more_workers_than_cores_are_told(tmp_path: Path) -> None:
    settings = config.parse({"node": {"workers": 999}}, tmp_path)
    assert found(settings, "cores").verdict == "warning"


@pytest.mark.parametrize(
    ("devices", "model", "expected"),
    [
        ({}, {}, ("info", NOT_GIVEN, None)),
        ({}, {"target": "gpu"}, ("warning", NOT_GIVEN, "m: refused")),
        ({}, {"target": "gpu", "fallback": "cpu"}, ("warning", NOT_GIVEN, "m: on the CPU")),
        ({"gpu": {"nodes": ["/dev/null"]}}, {"target": "gpu"}, ("ok", "/dev/null: there; for m", None)),
        ({"gpu": {}}, {}, ("ok", "no files: there; no model has it as its target", None)),
        (
            {"gpu": {"nodes": ["/dev/none"]}},
            {"target": "gpu"},
            ("warning", "/dev/none: No such file or directory", "m: refused"),
        ),
    ],
)  # fmt: skip
def test_a_device_is_told_with_what_is_missing_and_who_wants_it(
    devices: dict[str, Any], model: dict[str, str], expected: tuple[str, str, str | None], tmp_path: Path
) -> None:
    settings = config.parse({"devices": devices, "models": {"m": {"path": "m.onnx"} | model}}, tmp_path)
    check = found(settings, "device gpu")
    assert (check.verdict, check.found, check.cost) == expected
    assert ("[devices.gpu]" in (check.remedy or "")) is (check.verdict == "warning")
    assert found(settings, "device tpu").verdict == "info"
