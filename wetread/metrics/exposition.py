"""The text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from db import meters
from db.engine import Database
from db.meters import HISTOGRAMS, INFINITY, TALLIES, Histogram, Tally
from wetread.config import Settings
from wetread.metrics import samples
from wetread.metrics.families import DATABASE_UP, GAUGES, PREFIX
from wetread.metrics.samples import Sample
from wetread.metrics.zeros import known

_Values = Sequence[tuple[dict[str, str], float]]


def exposition(settings: Settings, database: Database, accept: str) -> tuple[bytes, str]:
    """Say how the node is and what it has done.

    Parameters
    ----------
    settings, database
        Of the node.
    accept
        What form the caller wants, as its ``Accept`` header says.

    Returns
    -------
    tuple
        The text and its content type.
    """
    registry = CollectorRegistry()
    registry.register(_Node(settings, database))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Node(Collector):
    """Reads everything anew, in one transaction."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is registered once for one answer has no need of it."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        found = list(samples.of_this_host(self._settings))
        counted: dict[str, list[tuple[dict[str, str], float]]] = {}
        zeros: dict[Tally, list[tuple[str, ...]]] = {}
        try:
            with self._database.read() as connection:
                found += samples.of_the_node(connection, self._settings)
                counted = meters.values(connection)
                zeros = known(connection, self._settings)
        except SQLAlchemyError:
            found.append(Sample(DATABASE_UP, (), 0))
        else:
            found.append(Sample(DATABASE_UP, (), 1))
        yield from _gauges(found)
        for tally in TALLIES:
            yield _counter(tally, counted.get(tally.name, ()), zeros.get(tally, ()))
        for histogram in HISTOGRAMS:
            sums = counted.get(meters.sum_of(histogram), ())
            yield _histogram(histogram, counted.get(histogram.name, ()), sums)


def _gauges(found: Iterable[Sample]) -> Iterator[Metric]:
    families = {
        gauge: GaugeMetricFamily(PREFIX + gauge.name, gauge.meaning, labels=gauge.labels)
        for gauge in GAUGES
    }
    for gauge, labels, value in found:
        families[gauge].add_metric(labels, value)
    yield from families.values()


def _counter(tally: Tally, counted: _Values, zeros: Sequence[tuple[str, ...]]) -> Metric:
    family = CounterMetricFamily(PREFIX + tally.name, tally.meaning, labels=tally.labels)
    found = {tuple(labels[name] for name in tally.labels): value for labels, value in counted}
    for place, value in (dict.fromkeys(zeros, 0.0) | found).items():
        family.add_metric(place, value)
    return family


def _histogram(histogram: Histogram, counted: _Values, sums: _Values) -> Metric:
    family = HistogramMetricFamily(
        PREFIX + histogram.name, histogram.meaning, labels=histogram.labels
    )
    buckets: dict[tuple[str, ...], dict[str, float]] = {}
    for labels, value in counted:
        place = tuple(labels[name] for name in histogram.labels)
        buckets.setdefault(place, {})[labels["le"]] = value
    total = {tuple(labels[name] for name in histogram.labels): value for labels, value in sums}
    for place, filled in buckets.items():
        # Also those that an earlier version kept, or nothing would be the sum of its parts.
        bounds = sorted({*map(str, histogram.bounds), *filled, INFINITY}, key=float)
        cumulated = accumulate(filled.get(bound, 0.0) for bound in bounds)
        family.add_metric(place, list(zip(bounds, cumulated, strict=True)), total[place])
    return family
