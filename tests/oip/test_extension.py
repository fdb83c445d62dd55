"""The messages of Triton's additions, held against those of its own client, read in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from wasmind.oip.extension import MESSAGES

TELL = """
import json
from tritonclient.grpc import service_pb2
messages = dict(service_pb2.DESCRIPTOR.message_types_by_name)
messages |= messages["RepositoryIndexResponse"].nested_types_by_name
told = {
    name: {f.name: [f.number, f.type, f.is_repeated] for f in message.fields}
    for name, message in messages.items()
}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, list[int]]]:
    pytest.importorskip("tritonclient", reason="tritonclient[grpc] is not installed")
    out = subprocess.run([sys.executable, "-c", TELL], check=True, capture_output=True, text=True).stdout
    found: dict[str, dict[str, list[int]]] = json.loads(out)
    return found


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_are_those_of_the_published_messages(
    name: str, published: dict[str, dict[str, list[int]]]
) -> None:
    theirs = published[name]
    for field in MESSAGES[name].DESCRIPTOR.fields:
        assert theirs[field.name] == [field.number, field.type, field.is_repeated], field.name


def test_a_message_there_and_back() -> None:
    answer = MESSAGES["RepositoryIndexResponse"]()
    answer.models.add(name="m", version="1", state="READY")
    again = MESSAGES["RepositoryIndexResponse"].FromString(answer.SerializeToString())
    assert [(one.name, one.version, one.state, one.reason) for one in again.models] == [
        ("m", "1", "READY", "")
    ]
