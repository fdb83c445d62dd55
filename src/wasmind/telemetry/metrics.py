"""Metrics that cost a request next to nothing: local numbers, written out each second in prometheus-client's
multiprocess format, which one process merges and serves.

`Registry` is one process's metrics. On the hot path a figure is an addition to a series that was bound
beforehand (`series.value += 1`, `series.observe(0.02)`); `Registry.flush` copies what changed to memory-
mapped files in the run directory. `merged` is the text for a scraper; it also folds the files of dead
processes into one, so counters never go backwards and files do not pile up.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Bounds for durations, from half a millisecond to the longest default deadline."""
BYTES = tuple(float(1 << shift) for shift in range(16, 33, 2))
"""Bounds for memory, from 64 KiB to 4 GiB."""
COUNTS = tuple(float(1 << shift) for shift in range(9))
"""Bounds for how many of something: 1 to 256."""

_ENDED = "ended"


class Number:
    """A counter's or gauge's value for one set of labels; add to `value` or set it."""

    __slots__ = ("_key", "_written", "value")

    def __init__(self, key: str) -> None:
        self.value = 0.0
        self._key = key
        self._written: float | None = None

    def write(self, file: MmapedDict) -> None:
        """Store the value if it changed."""
        if self.value != self._written:
            file.write_value(self._key, self.value, 0.0)
            self._written = self.value


class Distribution:
    """A histogram's values for one set of labels."""

    __slots__ = ("_keys", "_written", "bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...], keys: tuple[str, ...]) -> None:
        """`keys` are those of the buckets, of the one over the last bound, and of the sum."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self._keys = keys
        self._written: list[int] = []

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def write(self, file: MmapedDict) -> None:
        """Store the values if they changed."""
        if self.counts != self._written:
            self._written = self.counts.copy()
            for key, value in zip(self._keys, (*self.counts, self.sum), strict=True):
                file.write_value(key, float(value), 0.0)


Series = TypeVar("Series", Number, Distribution)


class Family(Generic[Series]):
    """One metric: its series by the values of their labels."""

    def __init__(self, kind: str, labels: tuple[str, ...], make: Callable[[tuple[str, ...]], Series]) -> None:
        self.kind = kind
        self._labels = labels
        self._make: Callable[[tuple[str, ...]], Series] = make
        self._series: dict[tuple[str, ...], Series] = {}

    def of(self, *values: str) -> Series:
        """The series with these label values, made on first use. Keep it: this look-up costs."""
        found = self._series.get(values)
        if found is None:
            if len(values) != len(self._labels):
                raise ValueError(f"this metric has the labels {self._labels}, got {values}")
            found = self._series[values] = self._make(values)
        return found

    def clear(self: Family[Number]) -> None:
        """Set every series to 0."""
        for series in self._series.values():
            series.value = 0.0

    def write(self, file: MmapedDict) -> None:
        """Store what changed."""
        for series in self._series.values():
            series.write(file)


class Registry:
    """All metrics of this process, written to files of its own in `directory`."""

    def __init__(self, directory: Path, process: int | None = None) -> None:
        self._directory = directory
        self._process = os.getpid() if process is None else process
        self._families: list[Family[Number] | Family[Distribution]] = []
        self._files: dict[str, MmapedDict] = {}

    def counter(self, name: str, text: str, *labels: str) -> Family[Number]:
        """A number that only grows; its samples end in `_total`."""
        return self._number("counter", name, name + "_total", text, labels)

    def gauge(self, name: str, text: str, *labels: str) -> Family[Number]:
        """A number that goes up and down; over all live processes it is summed."""
        return self._number("gauge", name, name, text, labels)

    def histogram(
        self, name: str, text: str, *labels: str, bounds: tuple[float, ...] = SECONDS
    ) -> Family[Distribution]:
        """A distribution over `bounds`, which ascend; what is over the last is counted too."""
        edges = [floatToGoString(bound) for bound in (*bounds, float("inf"))]

        def make(values: tuple[str, ...]) -> Distribution:
            buckets = [mmap_key(name, name + "_bucket", [*labels, "le"], [*values, le], text) for le in edges]
            return Distribution(
                bounds, (*buckets, mmap_key(name, name + "_sum", list(labels), list(values), text))
            )

        family = Family("histogram", labels, make)
        self._families.append(family)
        return family

    def _number(
        self, kind: str, name: str, sample: str, text: str, labels: tuple[str, ...]
    ) -> Family[Number]:
        def make(values: tuple[str, ...]) -> Number:
            return Number(mmap_key(name, sample, list(labels), list(values), text))

        family = Family(kind, labels, make)
        self._families.append(family)
        return family

    def flush(self) -> None:
        """Write what changed since the last time."""
        for family in self._families:
            family.write(self._file(family.kind))

    def _file(self, kind: str) -> MmapedDict:
        prefix = "gauge_livesum" if kind == "gauge" else kind
        found = self._files.get(prefix)
        if found is None:
            found = self._files[prefix] = MmapedDict(str(self._directory / f"{prefix}_{self._process}.db"))
        return found

    def close(self) -> None:
        """Write everything a last time and let the files go; they stay for whoever merges them."""
        self.flush()
        for file in self._files.values():
            file.close()
        self._files.clear()


def merged(directory: Path) -> bytes:
    """All processes' metrics in Prometheus' text format. Only one process may call this for a directory."""
    _fold_the_dead(directory)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))
    return generate_latest(registry)


def _fold_the_dead(directory: Path) -> None:
    """Add the counters and histograms of ended processes to one file; their gauges mean nothing any more."""
    for path in directory.glob("*_*.db"):
        prefix, _, process = path.stem.rpartition("_")
        if process == _ENDED or not process.isdigit() or _alive(int(process)):
            continue
        if prefix in ("counter", "histogram"):
            total = MmapedDict(str(directory / f"{prefix}_{_ENDED}.db"))
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
                total.write_value(key, total.read_value(key)[0] + value, 0.0)
            total.close()
        path.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
