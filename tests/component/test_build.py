"""Components are built once, and found again as long as nothing has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.components import parse
from wasmind.component import build as builds
from wasmind.component.build import build, build_now, load_built
from wasmind.component.interface import WitInterface
from wasmind.errors import NotWasm, ProgramError, ProgramTooLarge, UnknownImport
from wasmind.sandbox import CompileLimits

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
(component
  (import "tick" (func $tick))
  (core func $low (canon lower (func $tick)))
  (core module $m (import "" "tick" (func $tick)) (func (export "f") (call $tick)))
  (core instance $m (instantiate $m (with "" (instance (export "tick" (func $low))))))
  (func (export "f") (canon lift (core func $m "f"))))
"""


@pytest.fixture
def offered() -> tuple[WitInterface, ...]:
    root = WitInterface("")
    root.function("tick")(lambda _: None)
    return (root,)


def test_a_component_is_built_once(
    tmp_path: Path, offered: tuple[WitInterface, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    made = build_now(parse(TEXT), cache, offered)
    assert made.linking is None
    assert len(made.artifacts) == 1
    assert made.size == len(parse(TEXT))
    monkeypatch.setattr(builds, "prepare_apart", None)
    assert build_now(parse(TEXT), cache, offered) == made
    (record,) = cache.glob("*.plan")
    assert load_built(record) == made


def test_what_is_not_offered_is_refused_each_time(tmp_path: Path, offered: tuple[WitInterface, ...]) -> None:
    with pytest.raises(UnknownImport):
        build_now(parse(TEXT), tmp_path / "cache", ())
    build_now(parse(TEXT), tmp_path / "cache", offered)
    with pytest.raises(UnknownImport):
        build_now(parse(TEXT), tmp_path / "cache", ())


def test_all_that_is_not_offered_is_named(tmp_path: Path) -> None:
    names = [f"f{n}" for n in range(30)]
    imports = " ".join(f'(import "{name}" (func ${name}))' for name in names)
    lowered = " ".join(f"(core func ${name}' (canon lower (func ${name})))" for name in names)
    given = " ".join(f'(export "{name}" (func ${name}\'))' for name in names)
    wanted = " ".join(f'(import "" "{name}" (func))' for name in names)
    text = f"""(component {imports} {lowered}
        (core module $m {wanted}) (core instance (instantiate $m (with "" (instance {given})))))"""
    root = WitInterface("")
    root.function("f0")(lambda _: None)
    with pytest.raises(UnknownImport, match="f1; and 28 more functions") as caught:
        build_now(parse(text), tmp_path / "cache", (root,))
    cause = caught.value.cause or ""
    assert "f21" in cause
    assert "f22" not in cause
    assert cause.endswith("…")


def test_a_damaged_artifact_is_made_again(tmp_path: Path, offered: tuple[WitInterface, ...]) -> None:
    cache = tmp_path / "cache"
    made = build_now(parse(TEXT), cache, offered)
    made.artifacts[0].path.write_bytes(b"damaged")
    (record,) = cache.glob("*.plan")
    assert load_built(record) is None
    again = build_now(parse(TEXT), cache, offered)
    assert again.artifacts[0].verify()


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    record = tmp_path / "x.plan"
    assert load_built(record) is None
    record.write_bytes(b"\xc1")
    assert load_built(record) is None


def test_a_file_is_built_like_its_bytes(tmp_path: Path, offered: tuple[WitInterface, ...]) -> None:
    path = tmp_path / "x.wasm"
    path.write_bytes(parse(TEXT))
    assert build_now(path, tmp_path / "cache", offered) == build_now(parse(TEXT), tmp_path / "cache", offered)
    with pytest.raises(ProgramError, match="cannot read"):
        build_now(tmp_path / "none.wasm", tmp_path / "cache", offered)


def test_what_is_no_component_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotWasm, match="no component"):
        build_now(parse("(module)"), tmp_path / "cache", ())


def test_a_package_may_only_be_so_large(tmp_path: Path) -> None:
    with pytest.raises(ProgramTooLarge, match="the program has"):
        build_now(parse(TEXT), tmp_path / "cache", (), CompileLimits(package=100))


async def test_building_does_not_hold_the_loop(tmp_path: Path, offered: tuple[WitInterface, ...]) -> None:
    made = await build(parse(TEXT), tmp_path / "cache", offered, form="linked")
    assert made.linking is not None
    assert len(made.artifacts) == 1
