"""The Component Model's scripts: what passes, what does not and why, held by `conformance.json`.

`WRITE_CONFORMANCE=1 pytest tests/component/test_conformance.py -m slow` writes the file anew; a change of it
is to be looked at line by line.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.wast import ELSEWHERE, FAILED, PASSED, SCRIPTS, Outcome, Runner

if TYPE_CHECKING:
    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine

TABLE = Path(__file__).with_name("conformance.json")
ALL = sorted(SCRIPTS.glob("*/**/*.wast"))


def name(script: Path) -> str:
    return script.relative_to(SCRIPTS).as_posix()


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """What the table says of one script."""
    verdicts = Counter(each.verdict for each in outcomes)
    return {
        "passed": verdicts[PASSED],
        "failed": {f"line {o.line}": f"{o.command}: {o.reason}" for o in outcomes if o.verdict == FAILED},
        "not applicable": dict(sorted(Counter(o.reason for o in outcomes if o.verdict == ELSEWHERE).items())),
    }


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TABLE.read_text())
    return found


def test_the_table_is_of_these_scripts(table: dict[str, Any]) -> None:
    assert sorted(table) == [name(script) for script in ALL]


def test_few_commands_fail_and_each_is_known(table: dict[str, Any]) -> None:
    failed = [f"{script} {line}" for script, row in table.items() for line in row["failed"]]
    assert failed == [
        "component-model/validation/annotated-names.wast line 177",
        "component-model/validation/core-modules.wast line 25",
    ]
    assert sum(row["passed"] for row in table.values()) >= 1_300


QUICK = [script for script in ALL if script.stem in ("kebab", "unit", "numerics", "trap", "aliasing")]


@pytest.mark.parametrize("script", QUICK, ids=name)
async def test_a_script(engine: Engine, script: Path, table: dict[str, Any]) -> None:
    assert summary(await Runner(engine, script).run()) == table[name(script)]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["fused", "linked"])
@pytest.mark.parametrize("script", ALL, ids=name)
async def test_every_script_in_both_forms(
    engine: Engine, script: Path, form: Form, table: dict[str, Any]
) -> None:
    found = summary(await Runner(engine, script, form).run())
    if os.environ.get("WRITE_CONFORMANCE"):
        table[name(script)] = found
        TABLE.write_text(json.dumps(table, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert found == table[name(script)]
