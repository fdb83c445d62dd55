"""What a configuration means for a node: which programs to compile, which model processes to run."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Literal

import msgspec

from wasmind.catalog.catalog import read_catalog
from wasmind.catalog.declared import declared_signature
from wasmind.catalog.digests import Digests
from wasmind.catalog.storage.fetch import localized
from wasmind.catalog.storage.store import STORE, Store
from wasmind.config import NO_DEVICES, Card, Devices, KServe
from wasmind.errors import WasmindError
from wasmind.guest_api.program import compile_function
from wasmind.node.callers import read_callers
from wasmind.node.converters import conversions_of, converters_of
from wasmind.node.messages import (
    Alternative,
    FunctionEntry,
    InferenceEntry,
    ModelEntry,
    NodeEntry,
)
from wasmind.sandbox import CompileLimits
from wasmind.worker.spec import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.catalog.function import FunctionRecord
    from wasmind.catalog.model import ModelRecord
    from wasmind.catalog.storage.fetch import Transfer
    from wasmind.config import Config, Model
    from wasmind.guest_api.program import Compiled
    from wasmind.nn.signature import Signature


LOAD_ATTEMPTS = 5
"""So many loads of a model in a row may fail, each later than the one before, until it is quarantined."""


class RemoteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A model that runs elsewhere, in the place of a process's `WorkerSpec`."""

    kserve: KServe
    converters: tuple[WorkerSpec, ...] = ()
    """The processes of this node that convert for it, as long as its servers have said nothing."""
    encoding: Literal["remote"] = "remote"
    runtime: Literal["kserve"] = "kserve"


class ModelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A model to serve: a process to run, or servers to look after."""

    id: str
    """The same for the same file with the same process settings."""
    name: str
    scope: str
    digest: str
    spec: WorkerSpec | RemoteSpec
    settings: Model
    labels: tuple[str, ...] = ()
    card: Card = Card()
    """What people wrote of it."""
    alternative: Alternative | None = None
    signature: Signature | None = None
    """What is known of it from an earlier run."""
    version: int | None = None
    names: tuple[str, ...] = ()
    """What functions may call it, by the operator's policy."""
    at_start: bool = True
    """Whether it is loaded before anybody uses it."""
    attempts: int = LOAD_ATTEMPTS
    """So many loads in a row may fail before it is given up."""

    @property
    def title(self) -> str:
        """Its name, with the version where it has versions."""
        return self.name if self.version is None else f"{self.name}@{self.version}"

    @property
    def size(self) -> int:
        """Bytes of its files."""
        if isinstance(self.spec, RemoteSpec):
            return 0
        return sum(os.path.getsize(file.path) for file in self.spec.files if os.path.exists(file.path))

    @property
    def description(self) -> str:
        """The operator's words."""
        return self.card.description

    def entry(self, socket: str) -> ModelEntry:
        """What edge workers are told before its process, or its server, is there."""
        elsewhere = self.spec.kserve if isinstance(self.spec, RemoteSpec) else None
        return ModelEntry(
            id=self.id,
            name=self.title,
            scope=self.scope,
            digest=self.digest,
            socket=socket,
            state="loading",
            reason="no server has described it yet" if elsewhere else "its process loads it",
            kserve=elsewhere,
            signature=self.signature,
            labels=self.labels,
            deadline_ms=self.settings.deadline_ms,
            queue=self.settings.queue,
            shared_memory=int(self.settings.shared_memory),
            when_down="fail" if self.yields else self.settings.when_down,
            alternative=self.alternative,
            cache=int(self.settings.cache),
        )

    @property
    def yields(self) -> bool:
        """Whether another model does its inferences while it is down, so that none waits for it."""
        return self.alternative is not None or self.settings.in_both_places


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a node serves."""

    node: NodeEntry
    dev: bool
    model_memory: int | None = None
    """Bytes that all models together may take."""
    models: tuple[ModelPlan, ...]
    functions: tuple[FunctionRecord, ...]
    grants: dict[str, str]
    """`ModelRecord.id` to `ModelPlan.id`."""
    inference: InferenceEntry | None = None
    """Who may call models from outside; None where nobody may."""
    devices: Devices = NO_DEVICES
    """What models may have of a GPU or a TPU."""

    def replacing(self, before: Plan) -> frozenset[str]:
        """The models that take another's place: a name of a function means them, and meant another before."""
        meant = {
            (function.tenant, function.name, name): before.grants[record]
            for function in before.functions
            for name, record in function.grants.items()
        }
        return frozenset(
            self.grants[record]
            for function in self.functions
            for name, record in function.grants.items()
            if meant.get((function.tenant, function.name, name), self.grants[record]) != self.grants[record]
        )

    def users(self, id_: str) -> tuple[str, ...]:
        """The functions that may name a model."""
        return tuple(
            function.name
            for function in self.functions
            if id_ in {self.grants[granted] for granted in function.grants.values()}
        )


def make_plan(config: Config, state: Path, transfer: Transfer | None = None) -> Plan:
    """Look at every file that `config` names, and fetch the models that are kept elsewhere.

    Blocks while they are fetched and hashed; `transfer` hears of what comes. Raises WasmindErrors.
    """
    config = localized(config, Store(state / STORE), transfer)
    digests = Digests(state / "digests")
    catalog = read_catalog(config, digests)
    digests.save()
    node = config.node
    lazy = node.model_memory is not None
    plans = {record.id: plan_model(record, config.devices, lazy=lazy) for record in catalog.models.values()}
    both = (record for record in catalog.models.values() if record.config.in_both_places)
    twins = tuple(plan_elsewhere(record.elsewhere()) for record in both)
    by_name = {name: plans[record.id] for record in catalog.models.values() for name in record.names}
    models = (*(_with_alternative(plan, by_name, twins) for plan in plans.values()), *twins)
    ids = {record: plan.id for record, plan in plans.items()}
    return Plan(
        model_memory=None if node.model_memory is None else int(node.model_memory),
        node=NodeEntry(
            concurrency=node.concurrency,
            drain_ms=node.drain_ms,
            header_timeout_ms=node.header_timeout_ms,
            tick_ms=node.tick_ms,
            stack=config.stack,
            log=node.log,
            log_level=node.log_level,
        ),
        dev=node.dev,
        models=models,
        functions=tuple(catalog.functions.values()),
        grants=ids,
        inference=read_callers(config, catalog.models.values(), ids),
        devices=config.devices,
    )


def plan_model(
    record: ModelRecord,
    devices: Devices = NO_DEVICES,
    *,
    lazy: bool = False,
    attempts: int = LOAD_ATTEMPTS,
) -> ModelPlan:
    """How a model is served: here, if it is a file. Raises PackageMissing for a missing protocol.

    `lazy` ones are loaded on first use, unless their settings say otherwise.
    """
    plan = _planned(record, _remote_spec(record) if record.encoding is None else _spec(record, devices))
    return msgspec.structs.replace(plan, at_start=_at_start(record.config, lazy=lazy), attempts=attempts)


def plan_elsewhere(record: ModelRecord) -> ModelPlan:
    """How a model with servers elsewhere is served there. Raises PackageMissing."""
    return _planned(record, _remote_spec(record))


def _with_alternative(
    plan: ModelPlan, by_name: dict[str, ModelPlan], twins: tuple[ModelPlan, ...]
) -> ModelPlan:
    """The plan with who does its inferences when it cannot."""
    settings = plan.settings
    after = settings.stand_in.after_ms if settings.stand_in is not None else None
    if settings.in_both_places:
        (twin,) = (twin for twin in twins if (twin.scope, twin.name) == (plan.scope, f"{plan.title}@remote"))
        parallel = settings.instances * settings.batch.max_size
        found = Alternative(id=twin.id, after_ms=after, prefer=settings.prefer, parallel=parallel)
    elif settings.stand_in is not None and settings.stand_in.model is not None:
        found = Alternative(id=by_name[settings.stand_in.model].id, after_ms=after)
    else:
        return plan
    return msgspec.structs.replace(plan, alternative=found)


def _planned(record: ModelRecord, spec: WorkerSpec | RemoteSpec) -> ModelPlan:
    process = hashlib.sha256(msgspec.json.encode(spec, enc_hook=str)).hexdigest()[:8]
    return ModelPlan(
        id=f"{record.id}.{process}",
        name=record.name,
        scope=record.scope,
        digest=record.digest,
        spec=spec,
        settings=record.config,
        labels=record.labels,
        card=record.card,
        version=record.version,
        names=record.names,
    )


def _at_start(settings: Model, *, lazy: bool) -> bool:
    if settings.load is None:
        return settings.pin or settings.kserve is not None or settings.stand_in is not None or not lazy
    return settings.load == "start"


def _remote_spec(record: ModelRecord) -> RemoteSpec:
    from wasmind.backends.oip.connect import check_packages

    settings = record.config
    assert settings.kserve is not None
    check_packages(settings.kserve)
    return RemoteSpec(kserve=settings.kserve, converters=converters_of(record))


def _spec(record: ModelRecord, devices: Devices) -> WorkerSpec:
    settings = record.config
    assert record.encoding is not None
    assert record.runtime is not None
    return WorkerSpec(
        name=record.name,
        files=record.files,
        encoding=record.encoding,
        runtime=record.runtime,
        target=settings.target,
        fallback=settings.fallback,
        device=devices.of(settings.target),
        declared=None if settings.signature is None else declared_signature(settings.signature),
        instances=settings.instances,
        threads=settings.threads,
        batch=settings.batch.max_size,
        batch_delay_ms=settings.batch.max_delay_ms,
        generation=settings.generation,
        memory=int(settings.memory),
        run_limit_ms=settings.deadline_ms,
        load_timeout_ms=settings.load_timeout_ms,
        warm_up=settings.warm_up,
        conversions=conversions_of(record),
        confinement=settings.confinement,
    )


async def compile_functions(
    plan: Plan, cache: Path, progress: Callable[[str, Compiled], None]
) -> tuple[FunctionEntry, ...]:
    """Compile what is not in `cache`, as many at once as there are cores. `progress` hears of each function.

    Raises ProgramError for the first that is refused.
    """
    slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(function: FunctionRecord) -> FunctionEntry:
        limits = CompileLimits(package=function.limits.package, stack=plan.node.stack)
        async with slots:
            compiled = await compile_function(function.module, cache, limits)
        progress(function.name, compiled)
        return FunctionEntry(
            name=function.name,
            tenant=function.tenant,
            digest=compiled.digest,
            artifact=str(compiled.path),
            kind=compiled.kind,
            host=function.host,
            routes=function.routes,
            methods=function.methods,
            limits=function.limits,
            env=function.env,
            args=function.args,
            grants={name: plan.grants[record] for name, record in function.grants.items()},
            allow_load=function.allow_load,
            cache=function.cache,
            backends=function.backends,
        )

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(function)) for function in plan.functions]
    except ExceptionGroup as failed:
        refused = failed.subgroup(WasmindError)
        if refused is None:
            raise
        raise refused.exceptions[0] from None
    return tuple(task.result() for task in tasks)
