"""Generate synthetic sales of a given size, and run the first refresh over them, which is the backfill."""

import time
from dataclasses import dataclass, field

from benchmarks.refresh.changes import Scatter
from benchmarks.refresh.environment import Environment
from pipelines.refresh import RefreshResult, refresh
from sample_app.synthetic import DEFAULT_LAST_DAY, SyntheticCounts, generate

SEED = 1
TENANTS = 200
DAYS = 400
LAST_DAY = DEFAULT_LAST_DAY
LINES_PER_SALE = 2.8


@dataclass
class Dataset:
    """A database filled with sales, its facts and rollups up to date.

    Attributes:
        environment: where.
        lines: the size that was asked for.
        counts: what was made.
        backfill: what the first refresh did.
        backfill_s: its wall time.
        scatter: changes sales of it.
    """

    environment: Environment
    lines: int
    counts: SyntheticCounts
    backfill: RefreshResult
    backfill_s: float
    scatter: Scatter
    refreshed_ms: dict[int, list[float]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The size, as figures name it."""
        return size_label(self.lines)


def size_label(lines: int) -> str:
    """10^6 for a power of ten, else the number."""
    power = len(str(lines)) - 1
    return f"10^{power} lines" if lines == 10**power else f"{lines:,} lines"


def make_dataset(environment: Environment, lines: int) -> Dataset:
    """Generate the sales, let the standby follow, and backfill."""
    sales = round(lines / LINES_PER_SALE)
    counts = generate(environment.application, tenants=TENANTS, sales=sales, days=DAYS, seed=SEED, check_keys=False)
    environment.settle()
    started = time.perf_counter()
    result = refresh(environment.connections, environment.options)
    elapsed = time.perf_counter() - started
    environment.settle()
    return Dataset(environment, lines, counts, result, elapsed, Scatter(environment, sales=sales, data_seed=SEED))
