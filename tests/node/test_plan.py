"""A plan: what a configuration means for processes and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.nodes import CONFIG, prepare
from support.onnx_models import linear
from wasmind import config
from wasmind.errors import ProgramError, WasmindError
from wasmind.node.messages import Alternative
from wasmind.node.plan import Plan, RemoteSpec, compile_functions, make_plan
from wasmind.sandbox.artifact import ArtifactCache
from wasmind.worker.spec import WorkerSpec

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.guest_api.program import Compiled


def planned(directory: Path, text: str = CONFIG) -> Plan:
    prepare(directory, text)
    return make_plan(config.load(directory / "wasmind.toml"), directory / "state")


def test_models_functions_and_grants_are_planned(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    (model,) = plan.models
    assert model.name == "linear"
    assert model.id.startswith("shared/linear@")
    assert [file.path for file in model.spec.files] == [str((tmp_path / "linear.onnx").resolve())]
    assert plan.users(model.id) == ("ask",)
    assert [function.name for function in plan.functions] == ["http", "ask"]


@pytest.mark.parametrize("setting", ["instances = 2", "threads = 2", 'memory = "1GiB"', "warm_up = false"])
def test_a_setting_of_the_process_makes_another_process(tmp_path: Path, setting: str) -> None:
    before = planned(tmp_path).models[0].id
    assert planned(tmp_path, CONFIG.replace('description = "y = 2x + 1"', setting)).models[0].id != before


@pytest.mark.parametrize("setting", ['description = "other"', "queue = 7", 'when_down = "fail"'])
def test_other_settings_keep_the_process(tmp_path: Path, setting: str) -> None:
    before = planned(tmp_path).models[0].id
    after = planned(tmp_path, CONFIG.replace('description = "y = 2x + 1"', setting)).models[0]
    assert after.id == before
    assert after.entry("/s").queue in (7, 20_000)


GPU = """
[devices.gpu]
nodes = ["/dev/dri/renderD128"]
env = { A = "1" }
"""


def test_a_device_changes_nothing_for_models_without_it(tmp_path: Path) -> None:
    before, after = planned(tmp_path), planned(tmp_path, CONFIG + GPU)
    assert after.models == before.models
    assert (before.devices.given, after.devices.gpu) == (
        {},
        config.Device(nodes=["/dev/dri/renderD128"], env={"A": "1"}),
    )


def test_models_for_a_device_have_it_and_another_device_makes_another_process(tmp_path: Path) -> None:
    text = CONFIG.replace('description = "y = 2x + 1"', 'target = "gpu"')
    ids = set()
    for gpu in ("", GPU, GPU.replace("1", "2")):
        plan = planned(tmp_path, text + gpu)
        (model,) = plan.models
        assert isinstance(model.spec, WorkerSpec)
        assert model.spec.device == plan.devices.gpu
        ids.add(model.id)
    assert len(ids) == 3


def test_other_bytes_make_another_process(tmp_path: Path) -> None:
    before = planned(tmp_path).models[0].id
    (tmp_path / "linear.onnx").write_bytes(linear().replace(b"graph", b"other"))
    text = config.load(tmp_path / "wasmind.toml")
    assert make_plan(text, tmp_path / "state").models[0].id != before


async def test_programs_are_compiled_for_the_largest_stack_that_is_asked_for(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, CONFIG.replace("cpu_ms = 1000, wall_ms", 'stack = "2MiB", cpu_ms = 1000, wall_ms')
    )
    assert plan.node.stack == 2 << 20
    heard: dict[str, Compiled] = {}
    entries = await compile_functions(plan, tmp_path / "cache", heard.__setitem__)
    kept = ArtifactCache(tmp_path / "cache")
    artifacts = [kept.find(compiled.path.name.rpartition("-")[0]) for compiled in heard.values()]
    assert {artifact.stack for artifact in artifacts if artifact} == {2 << 20}
    assert None not in artifacts
    assert [entry.name for entry in entries] == ["http", "ask"]
    assert [entry.artifact for entry in entries] == [str(heard[name].path) for name in ("http", "ask")]
    assert entries[1].grants == {"linear": plan.models[0].id}


async def test_a_program_that_is_refused_is_the_error_itself(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "ask.wasm").write_bytes(b"nonsense")
    plan = make_plan(config.load(tmp_path / "wasmind.toml"), tmp_path / "state")
    with pytest.raises(ProgramError):
        await compile_functions(plan, tmp_path / "cache", lambda *_: None)


def test_what_is_served_elsewhere_has_no_process(tmp_path: Path) -> None:
    text = CONFIG.replace(
        'path = "linear.onnx"', 'kserve = { url = "http://127.0.0.1:1", model = "m", ca = "ca" }'
    )
    (model,) = planned(tmp_path, text).models
    assert isinstance(model.spec, RemoteSpec)
    entry = model.entry("")
    assert entry.kserve is not None
    assert entry.kserve.ca == tmp_path / "ca"
    assert entry.socket == ""
    other = planned(tmp_path, text.replace("127.0.0.1:1", "127.0.0.1:2")).models[0]
    assert other.id != model.id


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "linear.onnx").unlink()
    with pytest.raises(WasmindError, match="linear"):
        make_plan(config.load(tmp_path / "wasmind.toml"), tmp_path / "state")


REMOTE = 'kserve = { url = "http://127.0.0.1:1", model = "linear" }'


def test_a_model_in_both_places_is_two_that_know_each_other(tmp_path: Path) -> None:
    both = f'{REMOTE}\nprefer = "remote"\nstand_in = {{ after_ms = 50 }}\ninstances = 2'
    here, there = planned(tmp_path, CONFIG.replace('description = "y = 2x + 1"', both)).models
    assert (here.name, there.name) == ("linear", "linear@remote")
    assert isinstance(here.spec, WorkerSpec)
    assert isinstance(there.spec, RemoteSpec)
    assert here.entry("/s").kserve is None
    assert there.entry("").kserve == there.spec.kserve
    assert here.alternative == Alternative(id=there.id, after_ms=50, prefer="remote", parallel=2)
    assert there.alternative is None
    assert {here.entry("/s").when_down, there.entry("").when_down} == {"fail"}, "neither is waited for"


def test_a_model_with_a_stand_in(tmp_path: Path) -> None:
    large = f'\n[models.large]\n{REMOTE}\nstand_in = {{ model = "linear" }}\n'
    linear, remote = planned(tmp_path, CONFIG + large).models
    assert remote.alternative == Alternative(id=linear.id)
    assert linear.alternative is None
    assert (linear.entry("/s").when_down, remote.entry("").when_down) == ("wait", "fail")
    (changed,) = planned(
        tmp_path, CONFIG + large.replace('{ model = "linear" }', '{ model = "linear", after_ms = 7 }')
    ).models[1:]
    assert changed.id == remote.id, "its servers are the same"
    assert changed.alternative == Alternative(id=linear.id, after_ms=7)
