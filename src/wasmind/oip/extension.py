"""Messages that Triton adds to the protocol: the repository and statistics, described here field by field.

The published package has the protocol's own messages only. These are made in a pool of their own, so that a
program may also import a client that brings the same names.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STRING, _BOOL, _UINT64 = 9, 8, 4
_MESSAGE = 11
_OPTIONAL, _REPEATED = 1, 3

_FIELDS: dict[str, tuple[tuple[str, int, int | str, bool], ...]] = {
    "RepositoryIndexRequest": (("repository_name", 1, _STRING, False), ("ready", 2, _BOOL, False)),
    "ModelIndex": (
        ("name", 1, _STRING, False),
        ("version", 2, _STRING, False),
        ("state", 3, _STRING, False),
        ("reason", 4, _STRING, False),
    ),
    "RepositoryIndexResponse": (("models", 1, "ModelIndex", True),),
    "RepositoryModelLoadRequest": (("repository_name", 1, _STRING, False), ("model_name", 2, _STRING, False)),
    "RepositoryModelLoadResponse": (),
    "RepositoryModelUnloadRequest": (
        ("repository_name", 1, _STRING, False),
        ("model_name", 2, _STRING, False),
    ),
    "RepositoryModelUnloadResponse": (),
    "ModelStatisticsRequest": (("name", 1, _STRING, False), ("version", 2, _STRING, False)),
    "StatisticDuration": (("count", 1, _UINT64, False), ("ns", 2, _UINT64, False)),
    "InferStatistics": tuple(
        (name, number, "StatisticDuration", False)
        for number, name in enumerate(
            ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"), 1
        )
    ),
    "ModelStatistics": (
        ("name", 1, _STRING, False),
        ("version", 2, _STRING, False),
        ("last_inference", 3, _UINT64, False),
        ("inference_count", 4, _UINT64, False),
        ("execution_count", 5, _UINT64, False),
        ("inference_stats", 6, "InferStatistics", False),
    ),
    "ModelStatisticsResponse": (("model_stats", 1, "ModelStatistics", True),),
}
"""Message → its fields: name, number, type (a number of descriptor.proto, or another message), repeated."""


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="wasmind/extension.proto", package="inference", syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        described = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            added = described.field.add(name=field, number=number, label=_REPEATED if repeated else _OPTIONAL)
            if isinstance(kind, str):
                added.type, added.type_name = _MESSAGE, f".inference.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in _FIELDS
    }


MESSAGES: dict[str, Any] = _messages()
"""The messages' classes by name."""
