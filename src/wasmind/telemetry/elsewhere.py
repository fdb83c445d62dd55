"""The figures of models that are served elsewhere, and of those that another stands in for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmind.telemetry.metrics import Number, Registry


class ElsewhereFigures:
    """An edge worker's metrics of remote models."""

    def __init__(self, registry: Registry) -> None:
        of_server = ("model", "scope", "server")
        self.outstanding = registry.gauge(
            "wasmind_remote_outstanding",
            "Inferences at a server or waiting for their turn there.",
            *of_server,
        )
        self.open = registry.gauge(
            "wasmind_remote_breaker_open",
            "Edge workers that leave a server alone since it keeps failing.",
            *of_server,
        )
        self.requests = registry.counter(
            "wasmind_remote_requests",
            "Requests to servers ended: success, refused, failed, canceled.",
            *of_server,
            "outcome",
        )
        self.retries = registry.counter(
            "wasmind_remote_retries",
            "Inferences tried again since nothing of them was sent.",
            "model",
            "scope",
        )
        self.hedges = registry.counter(
            "wasmind_remote_hedges",
            "Inferences sent a second time since no answer came.",
            "model",
            "scope",
        )
        self.hedges_won = registry.counter(
            "wasmind_remote_hedges_won",
            "Of those, the ones that the second answered first.",
            "model",
            "scope",
        )
        self.stand_ins = registry.counter(
            "wasmind_stand_ins",
            "Inferences that another model did: the first was down or late.",
            "model",
            "scope",
            "by",
            "reason",
        )
        self.placements = registry.counter(
            "wasmind_placements",
            "Inferences of models that are in two places, by the place that did them.",
            "model",
            "scope",
            "place",
        )

    def remote(self, model: str, scope: str) -> RemoteMeter:
        """The figures of one remote model, bound for the hot path."""
        return RemoteMeter(self, model, scope)

    def alternative(self, model: str, scope: str, by: str) -> AlternativeMeter:
        """The figures of a model whose inferences another may do."""
        return AlternativeMeter(self, model, scope, by)


class AlternativeMeter:
    """Counts whose inferences were done by another model, and where."""

    __slots__ = ("_figures", "_labels", "_places")

    def __init__(self, figures: ElsewhereFigures, model: str, scope: str, by: str) -> None:
        self._figures, self._labels = figures, (model, scope, by)
        self._places = tuple(figures.placements.of(model, scope, place) for place in ("remote", "local"))

    def stood_in(self, reason: str) -> None:
        """The other did one, since the first was `down` or `late`."""
        self._figures.stand_ins.of(*self._labels, reason).value += 1

    def placed(self, *, local: bool) -> None:
        """One was done here, or elsewhere."""
        self._places[local].value += 1


class RemoteMeter:
    """Counts one remote model's retries and hedges."""

    __slots__ = ("_figures", "_labels", "hedges", "hedges_won", "retries")

    def __init__(self, figures: ElsewhereFigures, model: str, scope: str) -> None:
        self._figures, self._labels = figures, (model, scope)
        self.retries = figures.retries.of(model, scope)
        self.hedges = figures.hedges.of(model, scope)
        self.hedges_won = figures.hedges_won.of(model, scope)

    def server(self, url: str) -> ServerMeter:
        """The figures of one of its servers."""
        return ServerMeter(self._figures, *self._labels, url)


class ServerMeter:
    """Counts one server's requests for one model."""

    __slots__ = ("_figures", "_labels", "_outcomes", "open", "outstanding")

    def __init__(self, figures: ElsewhereFigures, model: str, scope: str, url: str) -> None:
        self._figures, self._labels = figures, (model, scope, url)
        self.outstanding = figures.outstanding.of(*self._labels)
        self.open = figures.open.of(*self._labels)
        self._outcomes: dict[str, Number] = {}

    def ended(self, outcome: str) -> None:
        """One request ended: `success`, `refused`, `failed` or `canceled`."""
        counted = self._outcomes.get(outcome)
        if counted is None:
            counted = self._outcomes[outcome] = self._figures.requests.of(*self._labels, outcome)
        counted.value += 1
