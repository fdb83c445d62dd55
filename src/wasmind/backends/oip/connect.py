"""From settings to servers. The client libraries are imported here, and only when a remote model is used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING

from wasmind.backends.oip.breaker import Breaker
from wasmind.backends.oip.server import Server
from wasmind.errors import PackageMissing

if TYPE_CHECKING:
    from wasmind.config import KServe
    from wasmind.telemetry.elsewhere import RemoteMeter


def check_packages(settings: KServe) -> None:
    """Raises PackageMissing if the protocol of a model's servers needs a package that is not installed."""
    if settings.protocol == "grpc":
        _need(("hpack", "open_inference"), 'protocol = "grpc"', 'use protocol = "rest"')
    elif settings.http2:
        _need(("hpack",), "http2 = true", "leave it out")


def _need(packages: Sequence[str], why: str, instead: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise PackageMissing(
                f"the package {package} is not installed",
                cause=f"a model has {why}",
                remedy=f"pip install 'wasmind[kserve]', or {instead}",
            )


def connect(settings: KServe, queue: int, meter: RemoteMeter | None = None) -> tuple[Server, ...]:
    """The servers of a model, not connected yet; `queue` requests may wait for each, `meter` counts them.

    Raises ConfigError (certificates), PackageMissing.
    """
    check_packages(settings)
    if settings.protocol == "grpc":
        from wasmind.backends.oip.grpc import connect as open_transport
    else:
        from wasmind.backends.oip.http import connect as open_transport  # type: ignore[assignment]
    return tuple(
        Server(
            url,
            open_transport(url, settings),
            Breaker(monotonic),
            concurrency=settings.concurrency,
            queue=queue,
            meter=meter.server(url) if meter is not None else None,
        )
        for url in settings.urls
    )
