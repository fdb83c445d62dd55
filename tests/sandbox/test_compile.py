from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support.sandbox import GUEST, host
from wasmind.errors import NotWasm, ProgramError, ProgramTooLarge, UnknownImport, UnsupportedFeature
from wasmind.sandbox import CompileLimits, Engine, Program, compile_program, compile_program_now, from_text

WASM = from_text(GUEST)
TRIVIAL = from_text('(module (func (export "_start")))')


def test_a_program_is_compiled_once(tmp_path: Path) -> None:
    artifact = compile_program_now(WASM, tmp_path, [host])
    made = artifact.path.stat().st_mtime_ns
    assert compile_program_now(WASM, tmp_path, [host]) == artifact
    assert artifact.path.stat().st_mtime_ns == made
    assert artifact.size == len(WASM)
    assert len(artifact.digest) == 64
    assert "sum" in {e.name for e in artifact.exports}
    assert ("host", "add") in {(i.module, i.name) for i in artifact.imports}


def test_a_file_is_read_from_its_path(tmp_path: Path) -> None:
    source = tmp_path / "guest.wasm"
    source.write_bytes(WASM)
    assert compile_program_now(source, tmp_path / "cache", [host]).digest == (
        compile_program_now(WASM, tmp_path / "cache", [host]).digest
    )
    with pytest.raises(ProgramError, match="cannot read") as caught:
        compile_program_now(tmp_path / "nothing.wasm", tmp_path / "cache", [host])
    assert caught.value.cause == "No such file or directory"


def test_what_is_kept_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    compile_program_now(TRIVIAL, cache, [])
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()}
    assert modes == {".cwasm": 0o600, ".json": 0o600}


def test_a_cache_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ProgramError, match="is not private"):
        compile_program_now(TRIVIAL, tmp_path, [])


def test_a_cache_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProgramError, match="cannot be used"):
        compile_program_now(TRIVIAL, tmp_path / "file" / "cache", [])


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "record"])
def test_a_damaged_artifact_is_made_again(tmp_path: Path, engine: Engine, damage: str) -> None:
    artifact = compile_program_now(WASM, tmp_path, [host])
    good = artifact.path.read_bytes()
    if damage == "flip":
        artifact.path.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    elif damage == "cut":
        artifact.path.write_bytes(good[:-1])
    elif damage == "delete":
        artifact.path.unlink()
    else:
        next(tmp_path.glob("*.json")).write_text("{")
    assert not artifact.verify() or damage == "record"
    again = compile_program_now(WASM, tmp_path, [host])
    assert again.verify()
    Program.load(engine, again, [host]).close()


async def test_many_may_compile_the_same_program_at_once(tmp_path: Path) -> None:
    artifacts = await asyncio.gather(*(compile_program(WASM, tmp_path, [host]) for _ in range(4)))
    assert len({artifact.code_digest for artifact in artifacts}) == 1
    assert artifacts[0].verify()
    assert not list(tmp_path.glob(".*"))


async def test_cancelling_ends_the_compiler(tmp_path: Path) -> None:
    task = asyncio.create_task(compile_program(WASM, tmp_path, [host]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("wasm", "error"),
    [
        (b"no wasm", NotWasm),
        (b"\0asm\x0d\0\1\0", UnsupportedFeature),
        (from_text("(module (memory 1 1 shared))"), UnsupportedFeature),
        (from_text("(module (memory i64 1))"), UnsupportedFeature),
        (from_text('(module (import "host" "memory" (memory 1 1 shared)))'), UnsupportedFeature),
        (from_text('(module (import "host" "nothing" (func)))'), UnknownImport),
    ],
)
def test_what_is_refused_before_compiling(tmp_path: Path, wasm: bytes, error: type[ProgramError]) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(error):
        compile_program_now(wasm, cache, [host])
    assert not cache.exists()


def test_what_the_compiler_refuses_is_explained(tmp_path: Path) -> None:
    wrong = from_text('(module (func (export "_start") (result i32) (i32.const 1)))').replace(
        b"\x41\x01", b"\x42\x01"
    )
    with pytest.raises(NotWasm) as caught:
        compile_program_now(wrong, tmp_path, [])
    assert "type mismatch" in (caught.value.cause or "")
    assert not list(tmp_path.iterdir())


def test_proposals_that_are_not_offered_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProgramError):
        compile_program_now(from_text('(module (tag) (func (export "_start") (throw 0)))'), tmp_path, [])


def test_a_large_program_is_refused_unread(tmp_path: Path) -> None:
    sparse = tmp_path / "large.wasm"
    with sparse.open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(ProgramTooLarge, match="100,000,001 bytes") as caught:
        compile_program_now(sparse, tmp_path / "cache", [])
    assert caught.value.cause == "the limit is 100,000,000"
    with pytest.raises(ProgramTooLarge):
        compile_program_now(WASM, tmp_path / "cache", [host], CompileLimits(package=100))


def test_another_stack_is_another_artifact(tmp_path: Path, engine: Engine) -> None:
    other = compile_program_now(TRIVIAL, tmp_path, [], CompileLimits(stack=256 << 10))
    assert other.path != compile_program_now(TRIVIAL, tmp_path, []).path
    with pytest.raises(ProgramError, match="compiled for another configuration"):
        Program.load(engine, other, [])


def test_the_child_starts_light() -> None:
    """A small program is compiled in the time that its compiler takes to start, so that must be little."""
    script = (
        "import sys, wasmind.sandbox.compile_worker, wasmind.sandbox.ffi, wasmind.sandbox.settings\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True)
    assert not {"asyncio", "msgspec", "wasmtime", "inspect", "ssl"} & set(loaded.stdout.split())


def children() -> set[str]:
    """Processes of this one, ended ones that nobody asked about included."""
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


def test_the_compiler_leaves_no_process(tmp_path: Path) -> None:
    before = children()
    compile_program_now(TRIVIAL, tmp_path, [])
    assert children() <= before


def test_limits_that_are_lower_already_stay(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from wasmind.sandbox.compile_worker import limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 60))\n"
        "limit(resource.RLIMIT_NOFILE, 100)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "limit(resource.RLIMIT_NOFILE, 20)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["(60, 60)", "(20, 21)"]


def test_the_compiler_sees_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WASMIND_TOKEN", "secret")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/lib")
    from wasmind.sandbox.compile import _environment

    assert set(_environment()) <= {"PATH", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "PYTHONPATH"}
    assert compile_program_now(TRIVIAL, tmp_path, []).verify()
