"""What goes on, as metrics of Prometheus; labels are names of ours, never values of patients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from dicomlake.errors import UsageError
from dicomlake.jobs.status import Status, status
from dicomlake.settings import Settings
from dicomlake.version import __version__

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class StatusCollector(Collector):
    """Turns what goes on, asked for each time, into metrics."""

    def __init__(self, ask: Callable[[], Status]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics."""
        status = self._ask()
        yield self._info()
        yield self._tasks(status)
        yield from self._sources(status)
        yield from self._flow(status)

    def _info(self) -> GaugeMetricFamily:
        found = GaugeMetricFamily("dicomlake_info", "What runs", labels=["version"])
        found.add_metric([__version__], 1)
        return found

    def _tasks(self, status: Status) -> GaugeMetricFamily:
        labels = ["source", "kind", "priority", "state"]
        found = GaugeMetricFamily("dicomlake_tasks", "Tasks in the queue", labels=labels)
        for row in status.tasks:
            found.add_metric([str(row[label]) for label in labels], row["tasks"])
        return found

    def _sources(self, status: Status) -> Iterable[GaugeMetricFamily]:
        for name, text, member in (
            ("dicomlake_source_paused", "1: nothing is asked of the source", "paused"),
            ("dicomlake_source_connections", "Connections in use", "in_use"),
            ("dicomlake_source_connections_allowed", "Connections allowed", "allowed"),
        ):
            found = GaugeMetricFamily(name, text, labels=["source"])
            for source in status.sources:
                found.add_metric([source.name], float(getattr(source, member)))
            yield found

    def _flow(self, status: Status) -> Iterable[GaugeMetricFamily]:
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


def metrics_of(ask: Callable[[], Status]) -> bytes:
    """The text that Prometheus reads."""
    return generate_latest(_registry(ask))


def _registry(ask: Callable[[], Status]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatusCollector(ask))
    return registry


def serve(lake: str | Path, settings: Settings, port: int) -> None:
    """Give metrics of a lake at a port of this machine alone, as long as this process runs."""
    try:
        start_http_server(port, "127.0.0.1", _registry(lambda: status(lake, settings)))
    except OSError as error:
        raise UsageError(f"Port {port} cannot be listened on: {error.strerror}.") from error
