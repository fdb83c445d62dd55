"""`wasmind build`: functions from their sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import wasmind

pytestmark = pytest.mark.slow

CONFIG = """
[functions.good]
source = "good.c"
module = "build/good.wasm"
route = "/good"

[functions.other]
source = "other.c"
module = "build/other.wasm"
route = "/other"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "wasmind.toml").write_text(CONFIG)
    (tmp_path / "good.c").write_text('#include <stdio.h>\nint main(void) { puts("\\nhello"); }\n')
    (tmp_path / "other.c").write_text("int main(void) { return 0 }\n")
    return tmp_path


def test_one_function(project: Path) -> None:
    done = wasmind("build", "good", cwd=project)
    assert done.code == 0, done.err
    assert "build/good.wasm" in done.out
    assert wasmind("run", "build/good.wasm", cwd=project).out == "\nhello\n"
    found = wasmind("build", "good", "--json", cwd=project).json
    assert (found[0]["function"], found[0]["language"]) == ("good", "c")
    assert found[0]["size"] == (project / "build" / "good.wasm").stat().st_size


def test_what_does_not_build_is_told_in_the_compilers_words(project: Path) -> None:
    done = wasmind("build", cwd=project)
    assert done.code == 3
    assert "other.c:1" in done.err
    assert "expected ';'" in done.err
    assert "error: other.c does not build" in done.err
    error = wasmind("build", "other", "--json", cwd=project).json["error"]
    assert error["code"] == "build-failed"
    assert "expected ';'" in error["output"]


def test_functions_that_are_not_there(project: Path) -> None:
    assert wasmind("build", "third", cwd=project).code == 2
    (project / "wasmind.toml").write_text('[functions.made]\nmodule = "m.wasm"\nroute = "/"\n')
    assert "no function with a source" in wasmind("build", cwd=project).out
    assert "has no source" in wasmind("build", "made", cwd=project).err
