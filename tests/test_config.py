from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind import config
from wasmind.config import Config, Size
from wasmind.config.versions import settings_of
from wasmind.errors import ConfigError

HERE = Path("/srv/node")


ELSEWHERE = {"kserve": {"url": "http://h", "model": "m"}}
THERE = {"scope": "acme", **ELSEWHERE}


def parsed(**sections: object) -> Config:
    return config.parse(sections, HERE)


def refusal(**sections: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(**sections)
    return caught.value.explain()


# --- the file -----------------------------------------------------------------------------------------------


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "wasmind.toml").write_text(
        """
        [node]
        workers = 2
        [models.classifier]
        path = "models/net.onnx"
        batch = { max_size = 8, max_delay_ms = 2 }
        labels = "models/labels.txt"
        [functions.classify]
        module = "classify.wasm"
        route = ["/classify", "/photos/*"]
        models = ["classifier"]
        backends = ["api.example.com", "http://[::1]:9000"]
        limits = { cpu_ms = 20, memory = "64MiB" }
        """
    )
    found = config.load(tmp_path / "wasmind.toml")
    model, function = found.models["classifier"], found.functions["classify"]
    assert found.node.workers == 2
    assert found.node.state == tmp_path / ".wasmind"
    assert (model.path, model.labels) == (tmp_path / "models/net.onnx", tmp_path / "models/labels.txt")
    assert (model.batch.max_size, model.batch.max_delay_ms) == (8, 2.0)
    assert function.module == tmp_path / "classify.wasm"
    assert function.routes == ("/classify", "/photos/*")
    assert (function.limits.cpu_ms, function.limits.memory) == (20.0, 64 << 20)
    assert function.backends == ["api.example.com", "http://[::1]:9000"]
    assert function.limits.stack == 1 << 20, "what is not said keeps its default"


def test_absolute_paths_stay() -> None:
    found = parsed(models={"m": {"path": "/models/m.onnx"}})
    assert found.models["m"].path == Path("/models/m.onnx")


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "wasmind.toml")
    assert "-c FILE" in (caught.value.remedy or "")


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "wasmind.toml").write_text("[node]\nworkers = = 2\n")
    with pytest.raises(ConfigError, match="is not TOML") as caught:
        config.load(tmp_path / "wasmind.toml")
    assert "line 2" in (caught.value.cause or "")


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"models": {"m": {"paht": "x"}}}, "paht"),
        ({"node": {"workers": "many"}}, "$.node.workers"),
        ({"models": {"m": {"path": "x", "encoding": "onx"}}}, "onx"),
        ({"models": {"m": {"path": "x", "memory": "lots"}}}, 'a size such as 1048576 or "128MiB"'),
        ({"models": {"m": {}}}, "give `path`"),
        ({"models": {"m": {"path": "x", "stand_in": {}}}}, "name another model"),
        ({"models": {"m": {"path": "x", "stand_in": {"model": "m"}}}}, "name another model"),
        ({"models": {"m": {"path": "x", "stand_in": {"model": "n"}}}}, "no model 'n'"),
        ({"models": {"m": {"path": "x", "stand_in": {"model": "n"}}, "n": THERE}}, "belongs to 'acme'"),
        (
            {"models": {"m": {"path": "x", "stand_in": {"model": "n", "after_ms": -1}}, "n": {"path": "y"}}},
            "`after_ms` is at least 0",
        ),
        (
            {"models": {"m": {"path": "x", "stand_in": {"model": "n"}}, "n": {"path": "y", **ELSEWHERE}}},
            "is in two places",
        ),
        ({"models": {"m": {"path": "x", "stand_in": {"model": "n"}, **ELSEWHERE}}}, "is its own stand-in"),
        ({"models": {"m": {"kserve": {"url": "http://h", "model": "m", "hedge_ms": -1}}}}, "`hedge_ms`"),
        (
            {
                "models": {
                    "m": {"kserve": {"url": "http://h", "model": "m", "protocol": "grpc", "http2": False}}
                }
            },
            "`http2 = false` is for REST",
        ),
        ({"models": {"m": {"path": "x", "source": "s3://b/x.onnx"}}}, "two places for one model"),
        ({"models": {"m": {"source": "ftp://b/x.onnx"}}}, "one of oci, https"),
        ({"models": {"m": {"source": "s3://b/x.onnx", "digest": "md5:0"}}}, "64 hexadecimal digits"),
        ({"models": {"m": {"path": "x", "digest": "0" * 64}}}, "`digest` goes with `source`"),
        ({"models": {"m": {"path": "x", "threads": 0}}}, "at least 1"),
        ({"models": {"a/b": {"path": "x"}}}, "models.a/b: a name is"),
        ({"functions": {"F": {"module": "f.wasm", "route": "/"}}}, "functions.F: a name is"),
        ({"functions": {"f": {"module": "f.wasm", "route": "x"}}}, 'begins with "/"'),
        ({"functions": {"f": {"module": "f.wasm", "route": "/*/x"}}}, "only be its last segment"),
        (
            {"functions": {"f": {"module": "f.wasm", "route": "/", "models": ["m"]}}},
            "no model 'm' (known: none)",
        ),
        (
            {"functions": {"f": {"module": "f.wasm", "route": "/", "backends": ["ftp://x"]}}},
            "functions.f: a backend is HOST[:PORT]",
        ),
    ],
)
def test_a_wrong_setting_is_named(sections: dict[str, object], expected: str) -> None:
    assert expected in refusal(**sections)


def test_all_wrong_settings_are_told_at_once() -> None:
    said = refusal(models={"a": {}, "b": {}})
    assert "2 wrong setting(s)" in said
    assert "models.a" in said
    assert "models.b" in said


def test_a_route_belongs_to_one_function_per_host() -> None:
    here = {"module": "f.wasm", "route": "/same"}
    assert "already belongs to functions.a" in refusal(functions={"a": here, "b": here})
    parsed(functions={"a": here, "b": here | {"host": "b.example"}})


# --- sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("128MiB", 128 << 20), ("64 KB", 64_000), ("1.5GiB", 3 << 29), ("7", 7), (7, 7), ("2T", 2 * 10**12)],
)
def test_sizes(text: object, expected: int) -> None:
    assert Size.parse(text) == expected


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 XB", "1e9", -1, True, 1.5, None])
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        Size.parse(text)


@given(st.integers(0, 1 << 20), st.sampled_from(["K", "M", "G"]))
def test_binary_and_decimal_units(count: int, unit: str) -> None:
    power = " KMG".index(unit)
    assert Size.parse(f"{count}{unit}iB") == count * 1024**power
    assert Size.parse(f"{count}{unit}B") == count * 1000**power


# --- preload entries ----------------------------------------------------------------------------------------


def test_wasmtime_directories_are_preloaded() -> None:
    found = parsed(preload=["models/MobileNet", "onnx::fixtures/net/"])
    assert found.models["MobileNet"].path == HERE / "models/MobileNet"
    assert found.models["MobileNet"].encoding == "autodetect"
    assert found.models["net"].encoding == "onnx"


def test_wasmedge_entries_are_preloaded() -> None:
    found = parsed(preload=["chat:GGML:AUTO:/models/chat.gguf", "eye:OpenVINO:CPU:eye.xml:weights.bin"])
    chat, eye = found.models["chat"], found.models["eye"]
    assert (chat.encoding, chat.target, chat.path) == ("ggml", "cpu", Path("/models/chat.gguf"))
    assert (eye.encoding, eye.path, eye.weights) == ("openvino", HERE / "eye.xml", HERE / "weights.bin")


def test_the_directory_itself_has_a_name() -> None:
    assert set(parsed(preload=["."]).models) == {"node"}


def test_a_function_may_be_granted_a_preloaded_model() -> None:
    function = {"module": "f.wasm", "route": "/", "models": ["net"]}
    assert parsed(preload=["dir/net"], functions={"f": function}).functions["f"].models == ["net"]


@pytest.mark.parametrize("text", ["", "a:b", "onnx::", "x:onnx:cpu:", "x:onnx:cpu:a:b:c", "::::"])
def test_other_entries_are_refused(text: str) -> None:
    assert f"preload {text!r}: expected DIR, ENCODING::DIR or NAME:ENCODING:TARGET:PATH" in refusal(
        preload=[text]
    )


def test_unknown_words_in_entries_are_named() -> None:
    assert "'whisper' is none of autodetect, openvino, onnx" in refusal(preload=["x:whisper:cpu:m.bin"])
    assert "'npu' is none of cpu, gpu, tpu" in refusal(preload=["x:onnx:npu:m.onnx"])


def test_two_models_of_one_name_are_refused() -> None:
    assert "another model of the name 'net'" in refusal(preload=["a/net", "b/net"])
    assert "another model of the name 'net'" in refusal(preload=["a/net"], models={"net": {"path": "x"}})


@given(st.text(max_size=40))
def test_any_text_is_an_entry_or_is_refused(text: str) -> None:
    try:
        name, model = config.preloaded(text, HERE)
    except ValueError:
        return
    assert isinstance(name, str)
    assert model.path is not None


# --- conversions and cards ----------------------------------------------------------------------------------


def converted(what: str = "inputs", *steps: object) -> dict[str, object]:
    return {"models": {"m": {"path": "m", what: {"x": {"convert": list(steps)}}}}}


def test_conversions_are_read_with_words_for_short() -> None:
    model = parsed(
        **converted(
            "inputs",
            "image",
            {"normalize": {"mean": [0.5, 0.5, 0.5], "std": 0.25, "divide_by": 255}},
            {"cast": "f16"},
            {"layout": "NHWC"},
            "add_batch",
        )
    ).models["m"]
    steps = model.inputs["x"].steps
    assert [step.kinds for step in steps] == [
        ("image",),
        ("normalize",),
        ("cast",),
        ("layout",),
        ("add_batch",),
    ]
    assert steps[0].image is not None
    assert (steps[0].image.fit, steps[0].image.max_pixels) == ("cover", 25_000_000)
    found = parsed(**converted("outputs", "softmax", {"top_k": {"k": 3}})).models["m"].outputs["x"].steps
    assert found[1].top_k is not None
    assert found[1].top_k.k == 3


def test_a_tokenizer_and_a_card_are_beside_the_file() -> None:
    model = parsed(
        models={
            "m": {
                "path": "m",
                "inputs": {"t": {"convert": [{"text": {"tokenizer": "t.json"}}]}},
                "card": {"example": {"image": "e.jpg"}},
            },
            "n": {"path": "n", "card": "n.md"},
        }
    ).models
    step = model["m"].inputs["t"].steps[0]
    assert step.text is not None
    assert step.text.tokenizer == "/srv/node/t.json"
    assert isinstance(model["m"].card, config.Card)
    assert model["m"].card.example.image == "/srv/node/e.jpg"
    assert model["n"].card == "/srv/node/n.md"


@pytest.mark.parametrize(
    ("what", "steps", "words"),
    [
        ("inputs", ["softmax"], "softmax is not for inputs"),
        ("outputs", ["image"], "image is not for outputs"),
        ("inputs", [{}], "got nothing"),
        ("inputs", [{"cast": "u8", "layout": "NHWC"}], "got cast and layout"),
        ("inputs", ["add_batch", "image"], "it comes first"),
        ("inputs", [{"text": {"tokenizer": "t"}}, "add_batch"], "no step comes after it"),
        ("outputs", ["top_k", "softmax"], "it comes last"),
        ("inputs", [{"normalize": {"std": 0}}], "they are not 0"),
        ("inputs", [{"normalize": {"mean": [1, 2], "std": [1]}}], "one value for each channel"),
        ("inputs", ["flip"], "flip"),
        ("inputs", [{"image": {"keep": 2}}], "keep"),
        ("inputs", [{"image": {"size": [0, 4]}}], "size"),
        ("inputs", [{"image": {"sise": [4, 4]}}], "sise"),
        ("inputs", [{"cast": "f8"}], "cast"),
    ],
)
def test_a_step_that_cannot_be_is_named(what: str, steps: list[object], words: str) -> None:
    found = refusal(**converted(what, *steps))
    assert words in found
    assert "models" in found


def test_what_is_served_elsewhere_is_converted_by_the_same_rules() -> None:
    elsewhere = {"kserve": {"url": "http://h", "model": "m"}}
    found = parsed(models={"m": {**elsewhere, "inputs": {"x": {"convert": ["image"]}}}}).models["m"]
    assert found.inputs["x"].steps[0].kinds == ("image",)
    assert "softmax is not for inputs" in refusal(
        models={"m": {**elsewhere, "inputs": {"x": {"convert": ["softmax"]}}}}
    )
    assert "`pin` and `load`" in refusal(
        models={"m": {**elsewhere, "pin": True, "inputs": {"x": {"convert": ["image"]}}}}
    )


def test_a_card_has_one_example() -> None:
    assert "one of image, text and npz" in refusal(
        models={"m": {"path": "m", "card": {"example": {"image": "a", "text": "b"}}}}
    )


def test_a_model_in_both_places_and_a_stand_in() -> None:
    found = parsed(
        models={
            "both": {"path": "x", **ELSEWHERE, "prefer": "local", "stand_in": {"after_ms": 50}},
            "large": {**ELSEWHERE, "stand_in": {"model": "small"}},
            "small": {"path": "y"},
        }
    ).models
    assert found["both"].in_both_places
    assert (found["both"].prefer, found["large"].prefer) == ("local", "fastest")
    assert found["large"].stand_in == config.StandIn(model="small")
    assert not found["large"].in_both_places


def test_a_version_may_be_converted_otherwise() -> None:
    found = parsed(
        models={
            "m": {
                "inputs": {"x": {"convert": ["image"]}},
                "versions": {
                    "1": {"path": "a"},
                    "2": {
                        "path": "b",
                        "inputs": {"t": {"convert": [{"text": {"tokenizer": "t.json"}}]}},
                        "card": "b.md",
                    },
                },
            }
        }
    )
    one, two = settings_of(found.models["m"]).values()
    assert (list(one.inputs), list(two.inputs)) == (["x"], ["t"])
    step = two.inputs["t"].steps[0]
    assert step.text is not None
    assert (step.text.tokenizer, two.card) == ("/srv/node/t.json", "/srv/node/b.md")
    wrong = {"versions": {"1": {"path": "a", "inputs": {"x": {"convert": ["softmax"]}}}}}
    assert "models.m.versions.1.inputs.x.convert: softmax is not for inputs" in refusal(models={"m": wrong})
