"""A model for which another can do the inferences: a stand-in, or itself on a server elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.backends.race import Why, race
from wasmind.errors import ConfigError, InferenceTimeout, ModelBusy, ModelDied, ModelUnavailable, NnError
from wasmind.models.places import Pace, local_first
from wasmind.nn.graph import Graph
from wasmind.nn.substitute import Match, match
from wasmind.nn.validation import fits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine
    from typing import Any

    from wasmind.models.served import ServedModel
    from wasmind.nn.backend import Generation, Lease, Outputs
    from wasmind.nn.signature import Signature
    from wasmind.nn.tensor import Tensor
    from wasmind.node.messages import Alternative
    from wasmind.telemetry.elsewhere import AlternativeMeter

DOWN = (ModelUnavailable, ModelBusy, ModelDied, InferenceTimeout)
"""What makes a model give way. A refusal of the input, or its framework's failure, is an answer."""


class Alternatives:
    """Two models under the name of the first. Guests see the first's signature, once it is known."""

    def __init__(
        self, first: ServedModel, other: ServedModel, how: Alternative, meter: AlternativeMeter
    ) -> None:
        """`how` says when the other is asked; `meter` counts what it does."""
        self.first, self.other, self.how, self.meter = first, other, how, meter
        self.members = (first, other)
        kserve = other.entry.kserve
        there = kserve.concurrency * len(kserve.urls) if kserve is not None else 1
        self.paces = Pace(how.parallel), Pace(there)
        self._graph: Graph | None = None

    def resolve(self, tenant: str = "") -> Graph | Awaitable[Graph]:
        """The model as a graph, at once or when either is ready. Raises ModelUnavailable, also if awaited."""
        lead = next((one for one in self.members if one.entry.signature is not None), None)
        if lead is None:
            return self._come(tenant)
        if not any(one.usable for one in self.members):
            raise self.first.unavailable()
        return self._as(lead)

    def ordered(self) -> tuple[int, int]:
        """Positions of the members in the order in which an inference asks them."""
        if self.how.prefer is None:
            return 0, 1
        here = local_first(self.how.prefer, *self.paces, asyncio.get_running_loop().time())
        return (0, 1) if here else (1, 0)

    def _as(self, lead: ServedModel) -> Graph:
        known, signature = self._graph, lead.entry.signature
        assert signature is not None
        if known is None or known.signature != signature:
            deadline = self.first.entry.deadline_ms / 1000
            known = self._graph = Graph(self.first.entry.name, EitherBackend(self, lead, signature), deadline)
        return known

    async def _come(self, tenant: str) -> Graph:
        """Wait until either is ready."""
        coming = {asyncio.ensure_future(one.ready(tenant)): one for one in self.members}
        try:
            waiting = set(coming)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.exception() is None:
                        return self._as(coming[task])
            first, _ = coming
            await first  # raises
            raise AssertionError("unreachable")
        finally:
            for task in coming:
                task.cancel()


class EitherBackend:
    """An `nn.Backend`: one model does an inference, or the other when that is down or late."""

    def __init__(self, model: Alternatives, lead: ServedModel, signature: Signature) -> None:
        """`lead` is whose signature guests see."""
        self.signature = signature
        self._model, self._lead = model, lead
        self._matches: dict[Signature, Match | ConfigError] = {}

    def lease(self, size: int) -> Lease:
        """The lead's own."""
        return self._lead.graph.backend.lease(size)

    def generation(self) -> Generation:
        """Of the first model that serves and goes step by step: one does all of an inference's steps.

        Raises ModelUnavailable.
        """
        ordered = [self._model.members[position] for position in self._model.ordered()]
        for member in ordered:
            if member.usable and member.entry.signature is not None and member.entry.signature.steps:
                return member.graph.backend.generation()
        raise ordered[0].unavailable()

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """Run once; see `nn.Backend.infer`."""
        model = self._model
        first, second = model.ordered()

        def otherwise(why: Why) -> Coroutine[Any, Any, Outputs] | None:
            if why == "late" and not model.members[second].usable:
                return None
            return self._run(second, inputs, deadline, tenant)

        after = model.how.after_ms
        try:
            outputs, why = await race(
                self._run(first, inputs, deadline, tenant),
                otherwise,
                after=None if after is None else after / 1000,
                gives_way=lambda error: isinstance(error, DOWN),
                discard=lambda outputs: outputs.release(),
            )
        except NnError as error:
            if isinstance(error.__cause__, NnError):
                raise _neither(error, error.__cause__) from error
            raise
        done_by = first if why is None else second
        if why is not None:
            model.paces[first].failed(asyncio.get_running_loop().time())
            model.meter.stood_in(why)
        if model.how.prefer is not None:
            model.meter.placed(local=done_by == 0)
            return outputs
        return outputs if done_by == 0 else OtherOutputs(outputs, None, self._words())

    async def _run(self, position: int, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        member, pace = self._model.members[position], self._model.paces[position]
        if not member.usable:
            raise member.unavailable()
        pairs = self._match(member)
        given = inputs if pairs is None else self._given(member, pairs, inputs)
        pace.running += 1
        try:
            outputs = await member.graph.backend.infer(given, deadline, tenant)
        finally:
            pace.running -= 1
        pace.measured(outputs.compute_ns / 1e9, asyncio.get_running_loop().time())
        return outputs if pairs is None or pairs.trivial else OtherOutputs(outputs, pairs.outputs, None)

    def _match(self, member: ServedModel) -> Match | None:
        """How the member does it; None: it has the same signature. Raises ModelUnavailable."""
        signature = member.entry.signature
        assert signature is not None
        if signature == self.signature:
            return None
        found = self._matches.get(signature)
        if found is None:
            try:
                found = match(self.signature, signature)
            except ConfigError as error:
                found = error
            self._matches[signature] = found
        if isinstance(found, ConfigError):
            raise ModelUnavailable(
                f"the model {member.entry.name!r} cannot do this one's inferences",
                cause=found.message,
                remedy="name a model as stand-in that takes and gives the same tensors",
            )
        return found

    def _given(self, member: ServedModel, pairs: Match, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        signature = member.entry.signature
        assert signature is not None
        given = tuple(inputs[at] for at in pairs.inputs)
        for spec, tensor in zip(signature.inputs, given, strict=True):
            if spec.dims is not None and not fits(spec.dims, tensor.dims):
                raise ModelUnavailable(
                    f"the model {member.entry.name!r} cannot do this inference",
                    cause=f'its input "{spec.name}" is {spec}, and this one is {tensor}',
                )
        return given

    def _words(self) -> str:
        return f"{self._model.first.entry.name} by {self._model.other.entry.name}"


def _neither(error: NnError, also: NnError) -> NnError:
    cause = f"{error.cause or 'it is down'}; and the other model could not help: {also.explain()}"
    return type(error)(error.message, cause=cause, remedy=error.remedy)


class OtherOutputs:
    """Outputs of the other model, in the order of the one that was asked."""

    __slots__ = ("_outputs", "compute_ns", "queue_ns", "stand_in", "tensors")

    def __init__(self, outputs: Outputs, order: tuple[int, ...] | None, stand_in: str | None) -> None:
        self._outputs = outputs
        self.tensors = outputs.tensors if order is None else tuple(outputs.tensors[at] for at in order)
        self.queue_ns, self.compute_ns = outputs.queue_ns, outputs.compute_ns
        self.stand_in = stand_in
        """Which model another stood in for, in words."""

    def release(self) -> None:
        """Give the memory back."""
        self._outputs.release()
