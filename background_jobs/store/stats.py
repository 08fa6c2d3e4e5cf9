"""The figures to run the jobs by, as the scripts count them in Redis: any process shows them, restarts keep them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from background_jobs.store.errors import JobStoreUnavailableError
from background_jobs.store.job import pairs
from background_jobs.store.scripts import BOUNDS_S
from background_jobs.store.states import JobState

_HELP = {
    "queue_wait": "From when a job might start to its first dispatch",
    "run": "From the start of a job's last run to the job's end",
    "e2e": "From submission to the end",
    "status_lag": "From the time of Dagster's event to its effect here",
}
_WAITING = frozenset({JobState.QUEUED, JobState.RETRYING})


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket (`BOUNDS_S` and one for what is longer), and the sum of what was observed, in seconds."""

    counts: tuple[int, ...]
    total_s: float

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Prometheus's cumulative buckets."""
        return list(zip([*map(str, BOUNDS_S), "+Inf"], itertools.accumulate(map(float, self.counts)), strict=True))


@dataclass(frozen=True, slots=True)
class JobStats:
    """One look at the store.

    Attributes:
        depth: live jobs by kind and state.
        oldest_queued_age_s: how long the oldest job that may start has waited; 0 if none waits.
        finished: ended jobs by (kind, state, code), code "" for none, since the store began.
        attempts: dispatched runs by kind.
        forced: deadlines enforced, by failure code; CANCEL for cancellations that were not confirmed.
        late_outcomes: contradictions that came after an ending, by kind.
        histograms: by name (queue_wait, run, e2e, status_lag) and kind.
        stale: live jobs whose deadline passed at least 5 s ago: more than 0 means that nobody sweeps.
        others: what `count` was told, by name and (label, value) pairs.
        gauges: what `set_gauge` was told lately.
    """

    depth: Mapping[tuple[str, JobState], int]
    oldest_queued_age_s: float
    finished: Mapping[tuple[str, ...], int]
    attempts: Mapping[str, int]
    forced: Mapping[str, int]
    late_outcomes: Mapping[str, int]
    histograms: Mapping[tuple[str, str], Histogram]
    stale: int
    others: Mapping[tuple[str, tuple[tuple[str, str], ...]], int]
    gauges: Mapping[str, float]


def stats_of(reply: Any) -> JobStats:
    """The stats in the script's reply."""
    depth = {}
    for name, value in pairs(reply[0]).items():
        state, kind = name.split("|")
        depth[kind, JobState(state)] = int(value)
    counters: dict[str, dict[tuple[str, ...], int]] = {"finished": {}, "attempts": {}, "forced": {}, "late": {}}
    others: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    for name, value in pairs(reply[2]).items():
        counter, _, labels = name.partition("|")
        if counter == "other":
            what, *pairs_of_it = json.loads(labels)
            others[what, tuple((label, text) for label, text in pairs_of_it)] = int(value)
        else:
            counters[counter][tuple(labels.split("|"))] = int(value)
    sums: dict[tuple[str, str], float] = {}
    buckets: dict[tuple[str, str], list[int]] = {}
    for name, value in pairs(reply[3]).items():
        histogram, kind, part = name.split("|")
        if part == "sum_ms":
            sums[histogram, kind] = int(value) / 1000
        else:
            buckets.setdefault((histogram, kind), [0] * (len(BOUNDS_S) + 1))[int(part)] = int(value)
    return JobStats(
        depth=depth,
        oldest_queued_age_s=int(reply[1]) / 1000,
        finished=counters["finished"],
        attempts={kind: value for (kind,), value in counters["attempts"].items()},
        forced={code: value for (code,), value in counters["forced"].items()},
        late_outcomes={kind: value for (kind,), value in counters["late"].items()},
        histograms={name: Histogram(tuple(counts), sums[name]) for name, counts in buckets.items()},
        stale=int(reply[4]),
        others=others,
        gauges={name: float(value) for name, value in pairs(reply[5]).items()},
    )


class JobCollector:
    """A prometheus_client collector: `REGISTRY.register(JobCollector(store.stats))`.

    Args:
        stats: takes one look. Where Redis is away, `jobs_store_up` is 0 and nothing else is shown.
    """

    def __init__(self, stats: Callable[[], JobStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """The metric families, as prometheus_client asks for them."""
        try:
            stats = self._stats()
        except JobStoreUnavailableError:
            yield GaugeMetricFamily("jobs_store_up", "Whether Redis answered", 0)
            return
        yield GaugeMetricFamily("jobs_store_up", "Whether Redis answered", 1)
        yield from families(stats)

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering does not ask Redis."""
        return iter(())


def families(stats: JobStats) -> Iterator[Metric]:
    """One look as metric families; for callers that took it by an async store."""
    yield from _depths(stats)
    yield GaugeMetricFamily(
        "jobs_oldest_queued_age_seconds",
        "How long the oldest job that may start has waited",
        stats.oldest_queued_age_s,
    )
    yield GaugeMetricFamily("jobs_stale", "Live jobs at least 5 s past their deadline: nobody sweeps", stats.stale)
    yield _counter("jobs_finished", "Jobs ended", ["kind", "state", "code"], stats.finished)
    for name, text, label, values in (
        ("jobs_attempts", "Runs dispatched", "kind", stats.attempts),
        ("jobs_deadline_forced", "Deadlines enforced by the sweeper", "code", stats.forced),
        ("jobs_late_outcome", "Contradictions that came after an ending", "kind", stats.late_outcomes),
    ):
        yield _counter(name, text, [label], {(key,): value for key, value in values.items()})
    for name, text in _HELP.items():
        family = HistogramMetricFamily(f"jobs_{name}_seconds", text, labels=["kind"])
        for (histogram, kind), seen in sorted(stats.histograms.items()):
            if histogram == name:
                family.add_metric([kind], seen.cumulative(), seen.total_s)
        yield family
    yield from _others(stats)
    for name, gauge in sorted(stats.gauges.items()):
        yield GaugeMetricFamily(name, "As the bridge saw it last", gauge)


def _counter(name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _depths(stats: JobStats) -> Iterator[Metric]:
    live = GaugeMetricFamily("jobs_live", "Jobs that have not ended", labels=["kind", "state"])
    # A kind that ever ran shows a 0, not a gap.
    waiting = dict.fromkeys(sorted({kind for kind, _ in stats.depth} | set(stats.attempts)), 0)
    for (kind, state), value in sorted(stats.depth.items()):
        live.add_metric([kind, state.value], value)
        if state in _WAITING:
            waiting[kind] += value
    depth = GaugeMetricFamily("jobs_queue_depth", "Jobs that wait to be dispatched", labels=["kind"])
    for kind, value in waiting.items():
        depth.add_metric([kind], value)
    yield depth
    yield live


def _others(stats: JobStats) -> Iterator[Metric]:
    for name, group in itertools.groupby(sorted(stats.others.items()), lambda item: item[0][0]):
        counted = {labels: value for (_, labels), value in group}
        names = sorted({label for labels in counted for label, _ in labels})
        family = CounterMetricFamily(name, "As the bridge counted it", labels=names)
        for labels, value in counted.items():
            texts = dict(labels)
            family.add_metric([texts.get(label, "") for label in names], value)
        yield family
