"""Building a component: planned in a child process, compiled by the sandbox, kept beside each other."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from wasmind.component.binary.reader import is_component
from wasmind.component.interface import WitInterface
from wasmind.component.linked import Linking
from wasmind.component.matching import Offer
from wasmind.component.plan import FORMAT, Forward, Lower, Plan
from wasmind.component.prepare import Form, Prepared, Refused
from wasmind.errors import NotWasm, ProgramError, ProgramTooLarge, UnknownImport
from wasmind.sandbox import Artifact, CompileLimits, compile_program_now
from wasmind.sandbox.artifact import ArtifactCache, machine

PLAN_MEMORY = 2 << 30
"""What planning may use; an 18 MB component takes 110 MB."""
DEFAULT_LIMITS = CompileLimits()
MOST_NAMED = 20
"""How many functions that are not offered are named in one error."""


class Built(msgspec.Struct, frozen=True):
    """A component, planned and compiled: all that a process needs to load it.

    `digest` is the SHA-256 of the component's bytes and `size` their number. `linking` is None if it was
    fused, and has one artifact; otherwise `reason` tells why not.
    """

    digest: str
    size: int
    plan: Plan
    artifacts: tuple[Artifact, ...]
    linking: Linking | None = None
    reason: str | None = None
    record: Path | None = None
    """The file it is kept in; `load_built` reads it."""

    @property
    def code_size(self) -> int:
        """Bytes of native code."""
        return sum(each.code_size for each in self.artifacts)


async def build(
    wasm: bytes | Path,
    cache: Path,
    offered: Sequence[WitInterface],
    limits: CompileLimits = DEFAULT_LIMITS,
    form: Form | None = None,
) -> Built:
    """Build a component, or find it built; `form` says whether it has to be fused, or must not be.

    Raises ProgramError: NotWasm, InvalidProgram, ProgramTooLarge, UnsupportedFeature or UnknownImport.
    """
    return await asyncio.to_thread(build_now, wasm, cache, offered, limits, form)


def build_now(
    wasm: bytes | Path,
    cache: Path,
    offered: Sequence[WitInterface],
    limits: CompileLimits = DEFAULT_LIMITS,
    form: Form | None = None,
) -> Built:
    """Do as `build`, for callers without an event loop."""
    data = _read(wasm, limits)
    if not is_component(data):
        raise NotWasm("this is no component", cause=f"its first bytes are {data[:8].hex(' ')}")
    digest = hashlib.sha256(data).hexdigest()
    kept = ArtifactCache(cache)
    kept.prepare()
    target = f"{machine()} {FORMAT} {form} {limits.stack}"
    record = cache / f"{digest[:32]}-{hashlib.sha256(target.encode()).hexdigest()[:16]}.plan"
    found = load_built(record)
    if found is not None:
        check_imports(found.plan, offered)
        return found
    built = compile_prepared(prepare_apart(data, limits, form), data, cache, offered, limits)
    handle, temporary = kept.temporary()
    with open(handle, "wb") as file:
        file.write(msgspec.msgpack.encode(built, enc_hook=str))
    temporary.replace(record)
    return msgspec.structs.replace(built, record=record)


def compile_prepared(
    prepared: Prepared, data: bytes, cache: Path, offered: Sequence[WitInterface], limits: CompileLimits
) -> Built:
    """Compile the core modules of the component `data`. Raises ProgramError."""
    check_imports(prepared.plan, offered)
    artifacts = tuple(compile_program_now(each, cache, None, limits) for each in prepared.modules)
    digest = hashlib.sha256(data).hexdigest()
    return Built(digest, len(data), prepared.plan, artifacts, prepared.linking, prepared.reason)


def check_imports(plan: Plan, offered: Sequence[WitInterface]) -> None:
    """Whether all is offered that the component calls. Raises UnknownImport, which names what is not."""
    offer = Offer(plan, offered)
    called = [each.does for each in plan.imports] + [each.function for each in plan.exports]
    problems: dict[str, UnknownImport] = {}
    for each in called:
        if isinstance(each, Lower | Forward):
            try:
                offer.function(each.interface, each.name, each.type)
            except UnknownImport as error:
                problems.setdefault(error.message, error)
    if not problems:
        return
    first, *others = problems.values()
    if not others:
        raise first
    shown = [each.message for each in others[:MOST_NAMED]] + ["…"] * (len(others) > MOST_NAMED)
    raise UnknownImport(
        f"{first.message}; and {len(others)} more functions are not offered",
        cause="; ".join([*([first.cause] if first.cause else []), *shown]),
        remedy=first.remedy,
    )


def load_built(record: Path) -> Built | None:
    """A component as it was built; None if there is none at this path, or it is damaged."""
    try:
        built = _built.decode(record.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    artifacts = tuple(
        msgspec.structs.replace(each, path=record.parent / each.path.name) for each in built.artifacts
    )
    if built.plan.format != FORMAT or not all(each.verify() for each in artifacts):
        return None
    return msgspec.structs.replace(built, artifacts=artifacts, record=record)


def _path(kind: type, value: object) -> Path:
    return Path(str(value))


# Made once: msgspec crashes where several threads make decoders of one recursive type at the same time.
_built = msgspec.msgpack.Decoder(Built, dec_hook=_path)
_prepared = msgspec.msgpack.Decoder(Prepared)
_refused = msgspec.msgpack.Decoder(Refused)


def _read(wasm: bytes | Path, limits: CompileLimits) -> bytes:
    try:
        size = len(wasm) if isinstance(wasm, bytes) else wasm.stat().st_size
        if size > limits.package:
            raise ProgramTooLarge(f"the program has {size:,} bytes", cause=f"the limit is {limits.package:,}")
        return wasm if isinstance(wasm, bytes) else wasm.read_bytes()
    except OSError as error:
        raise ProgramError(f"cannot read {wasm!s}", cause=error.strerror) from error


def prepare_apart(data: bytes, limits: CompileLimits, form: Form | None) -> Prepared:
    """Plan and fuse in a process of its own. Raises ProgramError."""
    memory, cpu_s = min(limits.memory, PLAN_MEMORY), max(1, int(limits.cpu_s + 0.999))
    command = [
        sys.executable,
        "-I",
        "-m",
        "wasmind.component.prepare",
        form or "any",
        str(memory),
        str(cpu_s),
    ]
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as answer:
        source.write(data)
        source.seek(0)
        try:
            done = subprocess.run(
                command,
                stdin=source,
                stdout=answer,
                stderr=subprocess.PIPE,
                env={},
                timeout=limits.wall_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ProgramTooLarge(f"reading the component took longer than {limits.wall_s:g} s") from None
        answer.seek(0)
        said = answer.read()
    if done.returncode == 0:
        return _prepared.decode(said)
    if done.returncode == 1 and said:
        raise _refused.decode(said).error()
    if done.returncode < 0:
        raise ProgramTooLarge("reading the component took too much time or memory")
    text = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    raise ProgramError("reading the component failed", cause=f"status {done.returncode}: {text[-200:]}")
