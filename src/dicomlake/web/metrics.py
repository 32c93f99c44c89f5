"""What goes on, as metrics of Prometheus; labels are names of ours, never values of patients."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from dicomlake.jobs.status import Status
from dicomlake.version import __version__

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class StatusCollector(Collector):
    """Turns a status into metrics."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics."""
        yield self._info()
        yield self._tasks()
        yield from self._sources()
        yield from self._flow()

    def _info(self) -> GaugeMetricFamily:
        found = GaugeMetricFamily("dicomlake_info", "What runs", labels=["version"])
        found.add_metric([__version__], 1)
        return found

    def _tasks(self) -> GaugeMetricFamily:
        labels = ["source", "kind", "priority", "state"]
        found = GaugeMetricFamily("dicomlake_tasks", "Tasks in the queue", labels=labels)
        for row in self._status.tasks:
            found.add_metric([str(row[label]) for label in labels], row["tasks"])
        return found

    def _sources(self) -> Iterable[GaugeMetricFamily]:
        for name, text, member in (
            ("dicomlake_source_paused", "1: nothing is asked of the source", "paused"),
            ("dicomlake_source_connections", "Connections in use", "in_use"),
            ("dicomlake_source_connections_allowed", "Connections allowed", "allowed"),
        ):
            found = GaugeMetricFamily(name, text, labels=["source"])
            for source in self._status.sources:
                found.add_metric([source.name], float(getattr(source, member)))
            yield found

    def _flow(self) -> Iterable[GaugeMetricFamily]:
        status = self._status
        for what in ("series", "objects"):
            found = GaugeMetricFamily(
                f"dicomlake_{what}_per_minute", f"{what.capitalize()} that came", labels=["window"]
            )
            for window, rates in status.throughput.items():
                found.add_metric([window], rates.get(what, 0.0))
            yield found
        lag = GaugeMetricFamily(
            "dicomlake_lag_seconds", "Age of the oldest task that waits", labels=["of"]
        )
        for name, seconds in status.lag.items():
            lag.add_metric([name], seconds)
        yield lag
        yield GaugeMetricFamily(
            "dicomlake_inbox_batches", "Batches that wait for the writer", value=status.inbox
        )
        yield GaugeMetricFamily(
            "dicomlake_workers", "Workers with tasks", value=len(status.workers)
        )


def metrics_of(status: Status) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatusCollector(status))
    return generate_latest(registry)
