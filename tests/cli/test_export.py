"""Models as KServe manifests, held against what KServe publishes."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

from support import peers
from support.commands import wasmind
from support.onnx_models import linear
from wasmind.catalog.digests import Digests
from wasmind.catalog.model import ModelRecord, read_model
from wasmind.cli.export import as_yaml, manifest, service_name
from wasmind.config import KServe, Model, Size
from wasmind.errors import ConfigError, UnsupportedOperation

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "tests" / "data" / "kserve" / "inferenceservice.v1beta1.json.gz"
URI = "s3://models/linear"


def record(directory: Path, **settings: Any) -> ModelRecord:
    path = directory / "linear.onnx"
    path.write_bytes(linear())
    return read_model("Linear_2", Model(path=path, **settings), Digests())


def made(directory: Path, protocol: Any = "rest", **settings: Any) -> dict[str, Any]:
    return manifest(record(directory, **settings), URI, protocol)


def test_the_whole_manifest(tmp_path: Path) -> None:
    one = record(tmp_path, threads=2, instances=3, memory=Size(512 << 20), deadline_ms=1500)
    resources = {"cpu": "6", "memory": "512Mi"}
    assert manifest(one, URI, "rest") == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "linear-2",
            "labels": {"app.kubernetes.io/managed-by": "wasmind"},
            "annotations": {"wasmind/model": "Linear_2", "wasmind/digest": f"sha256:{one.digest}"},
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "timeout": 2,
                "model": {
                    "modelFormat": {"name": "onnx", "version": "1"},
                    "protocolVersion": "v2",
                    "storageUri": URI,
                    "resources": {"requests": resources, "limits": resources},
                },
            }
        },
    }


def test_the_settings_tell_where_it_is_kept(tmp_path: Path) -> None:
    one = record(tmp_path)
    kept = msgspec.structs.replace(one, config=Model(source="oci://registry/models/linear"))
    assert manifest(kept, None, "grpc")["spec"]["predictor"]["model"] | {"resources": None} == {
        "modelFormat": {"name": "onnx", "version": "1"},
        "protocolVersion": "grpc-v2",
        "storageUri": "oci://registry/models/linear",
        "resources": None,
    }


def test_a_file_of_this_machine_is_of_no_use_to_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        manifest(record(tmp_path), None, "rest")
    assert "--storage-uri" in (refused.value.remedy or "")


def test_what_no_runtime_there_reads(tmp_path: Path) -> None:
    one = msgspec.structs.replace(record(tmp_path), encoding="ggml")
    with pytest.raises(UnsupportedOperation, match="cannot be exported"):
        manifest(one, URI, "rest")
    elsewhere = read_model("m", Model(kserve=KServe(url="http://h", model="m")), Digests())
    with pytest.raises(UnsupportedOperation) as refused:
        manifest(elsewhere, URI, "rest")
    assert "elsewhere already" in (refused.value.cause or "")


@pytest.mark.parametrize(
    ("model", "service"),
    [
        ("linear", "linear"),
        ("ResNet_50.v1", "resnet-50-v1"),
        ("7b", "model-7b"),
        ("x" * 100, "x" * 63),
        ("1" + "-" * 80 + "1", "model-1"),
    ],
)
def test_names_are_what_kubernetes_takes(model: str, service: str) -> None:
    assert service_name(model) == service


@pytest.mark.parametrize(
    "value",
    ["plain", "yes", "null", "1", "1Gi", "a: b", "# x", "", "-", "é", 'q"uote', "x:", "s3://a/b", "v2", "6"],
)
def test_yaml_keeps_text_as_text(value: str) -> None:
    document = {"a": {"b": value, "c": {"d": 1}}, "e": True}
    assert yaml.safe_load(as_yaml(document)) == document


def test_the_command(tmp_path: Path, site: Path) -> None:
    out = tmp_path / "linear.yaml"
    words = ["models", "export", "--kserve", "linear", "--storage-uri", URI]
    told = wasmind(*words, "-o", out, cwd=site)
    assert told.code == 0, told.err
    assert 'model = "linear"' in told.out
    from_file = yaml.safe_load(out.read_text())
    assert from_file["spec"]["predictor"]["model"]["storageUri"] == URI
    assert wasmind(*words, "--json", cwd=site).json == from_file


def test_the_command_explains_what_is_missing(tmp_path: Path, site: Path) -> None:
    told = wasmind("models", "export", "--kserve", "linear", cwd=site)
    assert told.code == 2
    assert "--storage-uri" in told.err
    nowhere = tmp_path / "missing" / "file"
    told = wasmind("models", "export", "--kserve", "linear", "--storage-uri", URI, "-o", nowhere, cwd=site)
    assert told.code == 2
    assert "cannot write" in told.err


EXAMPLE = ROOT / "deploy" / "kserve" / "classifier.yaml"


def strict(schema: Any) -> Any:
    """The schema, with unknown fields refused as `kubectl` does it."""
    if isinstance(schema, dict):
        closed = {key: strict(value) for key, value in schema.items()}
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
        return closed
    return [strict(one) for one in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_the_schema_that_kserve_publishes_takes_it(tmp_path: Path, protocol: str) -> None:
    schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))
    validator = Draft202012Validator(strict(schema["properties"]["spec"]))
    validator.validate(made(tmp_path, protocol)["spec"])
    validator.validate(yaml.safe_load(EXAMPLE.read_text())["spec"])
    wrong = made(tmp_path, protocol)["spec"]
    wrong["predictor"]["model"]["storageURI"] = "x"
    assert not validator.is_valid(wrong)


BY_KSERVE = """
import json, sys
from kserve import ApiClient, models


class Answer:
    def __init__(self, data): self.data = data

def check(kind, value, where):
    kind = getattr(models, kind, None)
    if kind is None:
        return  # Kubernetes' own types
    names = {wire: field for field, wire in kind.attribute_map.items()}
    for key, item in value.items():
        assert key in names, f"{where}.{key} is no field of {kind.__name__}"
        check(kind.openapi_types[names[key]], item, f"{where}.{key}")

for path in sys.argv[1:]:
    text = open(path).read()
    check("V1beta1InferenceService", json.loads(text), path)
    spec = json.loads(text)["spec"]["predictor"]["model"]
    spec.pop("resources")  # of Kubernetes' own types, which are not here
    found = ApiClient().deserialize(Answer(json.dumps(spec)), "V1beta1ModelSpec")
    assert found.model_format.name == "onnx" and found.storage_uri and found.protocol_version, path
print("ok")
"""


@pytest.mark.peers
def test_kserves_own_types_take_it(tmp_path: Path) -> None:
    python = peers.environment("kserve") / "bin" / "python"
    given = {
        "rest": made(tmp_path, "rest"),
        "grpc": made(tmp_path, "grpc"),
        "example": yaml.safe_load(EXAMPLE.read_text()),
    }
    wrong = made(tmp_path)
    wrong["spec"]["predictor"]["model"]["storageURI"] = "x"
    files = []
    for name, document in (given | {"wrong": wrong}).items():
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(document))
    *right, bad = map(str, files)
    told = subprocess.run([python, "-c", BY_KSERVE, *right], capture_output=True, text=True, check=False)
    assert told.stdout.strip().endswith("ok"), told.stderr
    told = subprocess.run([python, "-c", BY_KSERVE, bad], capture_output=True, text=True, check=False)
    assert "storageURI is no field" in told.stderr
