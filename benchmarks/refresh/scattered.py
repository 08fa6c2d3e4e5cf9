"""Measure refreshes of scattered changes, and the naive ways in the same run."""

import statistics
import time

from benchmarks.refresh.dataset import Dataset
from benchmarks.refresh.naive import MaterializedView
from benchmarks.report import Report, figure
from pipelines.refresh import refresh

# Changed sales to milliseconds of wall time at 10^6 lines, all rollups included.
BOUNDS_MS = {100: 50.0, 1_000: 200.0, 10_000: 1_500.0}
# Lines to how many times faster than the concurrent refresh 1,000 changes have to be.
RATIO_BOUNDS = {10**6: 60.0, 10**7: 500.0}


def measure_scattered(report: Report, data: Dataset, *, rounds: int) -> None:
    """Interleave the sizes: whatever the machine does meanwhile hits all of them."""
    for count in BOUNDS_MS:
        _refresh_ms(data, count)
    times_ms: dict[int, list[float]] = {count: [] for count in BOUNDS_MS}
    for _ in range(rounds):
        for count, times in times_ms.items():
            times.append(_refresh_ms(data, count))
    data.refreshed_ms = times_ms
    for count, times in times_ms.items():
        bound = BOUNDS_MS[count] if data.lines == 10**6 else None
        report.add(figure(f"refresh of {count:,} scattered changes at {data.label}", times, "ms", bound=bound))


def measure_naive(report: Report, data: Dataset, *, rounds: int) -> None:
    """Refresh the materialized view after 1,000 changes, and say how much longer that takes."""
    data.environment.application.execute("CHECKPOINT")
    view = MaterializedView(data.environment)
    concurrent, full = [], []
    for _ in range(rounds):
        data.scatter.change(1_000)
        concurrent.append(view.refresh_concurrently_s())
        full.append(view.recompute_s())
    ours_s = statistics.median(data.refreshed_ms[1_000]) / 1000
    report.add(
        figure(f"REFRESH MATERIALIZED VIEW CONCURRENTLY of product-day at {data.label}", concurrent, "s"),
        figure(f"full recompute of product-day at {data.label}", full, "s"),
        figure(
            f"1,000 changes against the concurrent refresh at {data.label}",
            [seconds / ours_s for seconds in concurrent],
            "times faster",
            bound=RATIO_BOUNDS.get(data.lines),
            better="higher",
            note="seven rollups and the facts against one view",
        ),
        figure(
            f"1,000 changes against the full recompute at {data.label}",
            [seconds / ours_s for seconds in full],
            "times faster",
        ),
    )
    # What the view's rounds changed is applied here, not in what is measured next.
    refresh(data.environment.connections, data.environment.options)
    data.environment.application.execute("DROP MATERIALIZED VIEW public.bench_product_day")


def measure_growth(report: Report, small: Dataset, large: Dataset) -> None:
    """The same 1,000 changes where the tables are larger."""
    ratios = [theirs / statistics.median(small.refreshed_ms[1_000]) for theirs in large.refreshed_ms[1_000]]
    bound = 1.6 if (small.lines, large.lines) == (10**6, 10**7) else None
    report.add(figure(f"growth: 1,000 changes at {large.label} over {small.label}", ratios, "times", bound=bound))


def _refresh_ms(data: Dataset, count: int) -> float:
    data.scatter.change(count)
    started = time.perf_counter()
    result = refresh(data.environment.connections, data.environment.options)
    elapsed = (time.perf_counter() - started) * 1000
    # A change may fall on a sale that an earlier round deleted, and then changes nothing.
    assert result.is_drained
    assert result.applied.documents > count * 0.5
    return elapsed
