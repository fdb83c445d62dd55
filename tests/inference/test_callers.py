from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from wasmind.errors import ModelNotFound, NotAllowed, Overloaded, TokenRefused, UnsupportedOperation
from wasmind.inference.callers import MAX_TOKEN, Caller, Callers, check_local
from wasmind.inference.service import Service
from wasmind.models.loads import Loads
from wasmind.models.node import NodeModels
from wasmind.nn.encoding import Encoding, Target
from wasmind.node.messages import CallerEntry, InferenceEntry, NamedModel, NodeEntry, Snapshot
from wasmind.telemetry.figures import OipFigures
from wasmind.telemetry.logs import configure
from wasmind.telemetry.metrics import Registry

VERSIONS = (
    NamedModel(name="m", version="1", references=("m@1", "m:old"), id="one"),
    NamedModel(name="m", version="3", references=("m", "m@3"), id="three"),
    NamedModel(name="plain", references=("plain",), id="plain"),
)


def hashed(*tokens: str) -> tuple[str, ...]:
    return tuple(hashlib.sha256(token.encode()).hexdigest() for token in tokens)


ACME = CallerEntry(tenant="acme", tokens=hashed("a", "b"), models=VERSIONS, concurrency=2)
BOSS = CallerEntry(tenant="boss", tokens=hashed("c"), manage=True)
EVERYBODY = CallerEntry(tenant="default")


def callers(*entries: CallerEntry, anonymous: CallerEntry | None = None) -> Callers:
    entry = InferenceEntry(
        callers=entries, anonymous=anonymous, request_body=1000, body_stall_ms=100, concurrency=3
    )
    return Callers(1, entry, lambda id_: id_)  # type: ignore[arg-type,return-value] # an id for each model


def test_a_token_tells_its_tenant() -> None:
    known = callers(ACME, BOSS)
    found = {token: known.of(f"Bearer {token}").tenant for token in "abc"}
    assert found == {"a": "acme", "b": "acme", "c": "boss"}
    assert known.of("bearer  a").tenant == "acme"


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "a",
        "Bearer",
        "Bearer ",
        "Bearer d",
        "Basic a",
        f"Bearer {'a' * (MAX_TOKEN + 1)}",
        "Bearer é",
    ],
)
def test_all_else_is_refused(sent: str | None) -> None:
    with pytest.raises(TokenRefused):
        callers(ACME, BOSS).of(sent)


def test_a_hash_that_only_begins_like_a_known_one_is_none() -> None:
    (digest,) = hashed("d")
    near = digest[:8] + hashed("x")[0][8:]
    with pytest.raises(TokenRefused):
        callers(CallerEntry(tenant="near", tokens=(near,))).of("Bearer d")


def test_nobody_is_known_without_a_configuration() -> None:
    with pytest.raises(TokenRefused):
        Callers(1, None, lambda id_: id_).of(None)  # type: ignore[arg-type,return-value]


def test_who_has_no_token_is_everybody_where_that_is_allowed() -> None:
    known = callers(ACME, anonymous=EVERYBODY)
    caller = known.of(None)
    assert (caller.tenant, known.is_anonymous(caller)) == ("default", True)
    assert not known.is_anonymous(known.of("Bearer a"))


def test_versions_by_all_their_names() -> None:
    caller = callers(ACME).of("Bearer a")
    names = ("m", "m@1", "m@3", "m:old", "plain", "plain@1")
    assert [caller.find(name) for name in names] == ["three", "one", "three", "one", "plain", "plain"]
    assert caller.versions("m") == ("1", "3")
    asked = (("m", ""), ("m", "1"), ("m", "3"), ("m:old", ""), ("plain", ""))
    assert [caller.version(*name) for name in asked] == ["3", "1", "3", "1", "1"]
    assert caller.versions("m:old") == ("1", "3")
    for unknown in (("m", "2"), ("m:old", "1"), ("other", "")):
        with pytest.raises(ModelNotFound):
            caller.version(*unknown)
    for unknown in ("m@2", "other", "", "plain@2"):
        assert not caller.knows(unknown)
        with pytest.raises(ModelNotFound):
            caller.find(unknown)


async def test_callers_bring_no_models() -> None:
    with pytest.raises(UnsupportedOperation):
        await callers(ACME).of("Bearer a").load((b"",), Encoding.ONNX, Target.CPU)


def test_who_may_manage() -> None:
    known = callers(ACME, BOSS)
    known.of("Bearer c").check_manages()
    with pytest.raises(NotAllowed):
        known.of("Bearer a").check_manages()


@pytest.mark.parametrize(
    "host", [b"localhost", b"localhost:8081", b"127.0.0.1:1", b"127.3.2.1", b"[::1]:8081", b"[::1]"]
)
def test_loopback_hosts(host: bytes) -> None:
    check_local(host, None)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"evil.example", None),
        (b"localhost.evil.example:80", None),
        (b"[::2]:80", None),
        (b"", None),
        (b"localhost", b"https://evil.example"),
        (b"localhost", b"null"),
    ],
)
def test_what_a_web_page_would_send(host: bytes, origin: bytes | None) -> None:
    with pytest.raises(NotAllowed):
        check_local(host, origin)


# --- how many at once -------------------------------------------------------------------------------------


@pytest.fixture
async def service(tmp_path: Path) -> Any:
    figures = OipFigures(Registry(tmp_path))
    released: list[int] = []
    models = NodeModels(Loads(tmp_path, lambda _: None, figures), figures)
    logger = configure("json", "error", process="test")
    made = Service(models, figures, logger, lambda _: None, released.append)
    made.apply(snapshot(1))
    return made, released


def snapshot(generation: int) -> Snapshot:
    node = NodeEntry(concurrency=1, drain_ms=1, header_timeout_ms=1, tick_ms=1, log="json", log_level="error")
    entries = (
        CallerEntry(tenant="acme", tokens=hashed("a"), concurrency=2),
        CallerEntry(tenant="boss", tokens=hashed("c"), concurrency=5),
    )
    entry = InferenceEntry(callers=entries, request_body=1000, body_stall_ms=100, concurrency=3)
    return Snapshot(generation=generation, dev=False, node=node, functions=(), models=(), inference=entry)


async def test_requests_at_once(service: Any) -> None:
    made, _ = service
    first = [made.enter("Bearer a") for _ in range(2)]
    with pytest.raises(Overloaded, match="of this tenant"):
        made.enter("Bearer a")
    last = made.enter("Bearer c")
    with pytest.raises(Overloaded, match="are under way"):
        made.enter("Bearer c")
    for caller in (*first, last):
        made.leave(caller)
    assert made.running == 0
    assert isinstance(made.enter("Bearer a"), Caller)


async def test_a_generation_is_released_with_its_last_request(service: Any) -> None:
    made, released = service
    old = made.enter("Bearer a")
    made.apply(snapshot(2))
    made.apply(snapshot(3))
    assert released == [0]
    made.enter("Bearer a")
    made.leave(old)
    assert released == [0, 2]


async def test_it_is_ready_until_it_stops(service: Any) -> None:
    made, _ = service
    assert made.ready
    made.stopping = True
    assert not made.ready
    await asyncio.sleep(0)
