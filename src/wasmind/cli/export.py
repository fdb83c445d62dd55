"""A model of the configuration as a Kubernetes manifest: KServe's InferenceService."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Literal

from wasmind.errors import ConfigError, UnsupportedOperation

if TYPE_CHECKING:
    from wasmind.catalog.model import ModelRecord

FORMATS = {
    "onnx": ("onnx", "1"),
    "openvino": ("openvino", "10"),
    "tensorflow": ("tensorflow", "2"),
    "pytorch": ("pytorch", "1"),
}
"""What KServe calls our encodings; its own serving runtimes read these."""
Protocol = Literal["rest", "grpc"]

_PROTOCOLS = {"rest": "v2", "grpc": "grpc-v2"}
_NO_LABEL = re.compile(r"[^a-z0-9-]+")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9._/:@-]*\Z")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))


def manifest(record: ModelRecord, storage_uri: str | None, protocol: Protocol) -> dict[str, Any]:
    """An InferenceService that serves the same artifact.

    `storage_uri` is where the cluster finds it; None: where the model's settings say it comes from.
    Raises ConfigError when neither says, UnsupportedOperation for what no runtime of KServe reads.
    """
    settings = record.config
    known = FORMATS.get(record.encoding or "")
    if known is None:
        what = record.encoding or "what is elsewhere already"
        raise UnsupportedOperation(
            f"models.{record.name} cannot be exported",
            cause=f"none of KServe's own serving runtimes reads {what}",
            remedy=f"export a model that is one of {', '.join(FORMATS)}",
        )
    where = storage_uri or settings.source
    if where is None:
        raise ConfigError(
            f"nothing says where a cluster finds models.{record.name}",
            cause="its `path` is a file of this machine",
            remedy="push it to a store and give its place with --storage-uri",
        )
    cores = settings.threads * settings.instances
    resources = {"cpu": str(cores), "memory": _quantity(int(settings.memory))}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service_name(record.name),
            "labels": {"app.kubernetes.io/managed-by": "wasmind"},
            "annotations": {"wasmind/model": record.name, "wasmind/digest": f"sha256:{record.digest}"},
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "timeout": math.ceil(settings.deadline_ms / 1000),
                "model": {
                    "modelFormat": {"name": known[0], "version": known[1]},
                    "protocolVersion": _PROTOCOLS[protocol],
                    "storageUri": where,
                    "resources": {"requests": resources, "limits": resources},
                },
            }
        },
    }


def service_name(model: str) -> str:
    """A model's name as Kubernetes may call a service: small letters, digits, dashes; at most 63."""
    found = _NO_LABEL.sub("-", model.lower()).strip("-")[:63].strip("-")
    return found if found[:1].isalpha() else f"model-{found}"[:63].strip("-")


def as_yaml(value: dict[str, Any], indent: int = 0) -> str:
    """A manifest as YAML; text that could be read as anything else is quoted as in JSON."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines.append(f"{' ' * indent}{_scalar(key)}:\n{as_yaml(item, indent + 2)}")
        else:
            lines.append(f"{' ' * indent}{_scalar(key)}: {_scalar(item)}\n")
    return "".join(lines)


def settings_for(name: str, model: str, protocol: Protocol) -> str:
    """The lines of `wasmind.toml` with which a node uses the service."""
    url = f"http://{name}-predictor.NAMESPACE.svc.cluster.local"
    return f'kserve = {{ url = "{url}", model = "{model}", protocol = "{protocol}" }}'


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _WORDS and value[-1] != ":":
        return value
    return json.dumps(value)


def _quantity(size: int) -> str:
    for unit, power in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size >= 1 << power and size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)
