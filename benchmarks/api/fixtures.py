"""Start the whole local stack as `salespulse up` does, with the sales of 200 tenants and their users."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import psutil
import psycopg

from benchmarks.refresh.dataset import DAYS, LINES_PER_SALE, SEED, TENANTS
from dashboard_api.auth import issue_token
from dbconnect import Settings
from local_stack.paths import StackPaths
from local_stack.stack import StackOptions, down, up
from local_stack.supervisor import Supervisor
from local_stack.waiting import wait_until
from pipelines.refresh.observe import SourceObservation
from salespulse.cli.stack import NICE_VALUES, supervised_commands
from salespulse.demo import prepare_schema, wait_until_drained
from sample_app.synthetic import generate

# Of one user: the bundled policy, which a request a second keeps, and one that a connection without think time keeps too.
BUNDLED_LIMIT, WIDE_LIMIT = "100/minute", "1000000/minute"
_AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")
_POLICY = '[policies.default]\nlimits = ["{limit}"]\non_outage = "local"\n'
_REQUESTS = 40_000
# What the users ask for, and how often of a hundred times. The page itself asks for the overview only.
_MIX = {
    "overview": 50,
    "sales-summary": 20,
    "trend": 8,
    "top-products": 8,
    "product-groups": 3,
    "payments": 3,
    "heatmap": 3,
    "top-customers": 3,
    "stores": 2,
}
# One user in five looks at dates of an own choice, so many days up to today, and one of those at a single store.
_OWN_DATES, _ONE_STORE = 0.2, 0.2
_PERIODS = (7, 30, 90, 365)


@dataclass(frozen=True)
class StackFixture:
    """What is running.

    Attributes:
        settings: of the stack.
        tenants: ids, the largest first.
        requests: the file of requests in the users' order, for `users.lua`.
        policies: the limiter's policy file.
        lines: sale lines in the tables.
        users: as many, each with a token of an own subject.
    """

    settings: Settings
    directory: Path
    tenants: tuple[str, ...]
    requests: Path
    policies: Path
    lines: int
    users: int

    @property
    def url(self) -> str:
        """Return the API's URL."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}"

    def process(self, name: str) -> psutil.Process:
        """Return the process of a program of the stack."""
        return psutil.Process(Supervisor(StackPaths(self.directory)).processes()[name]["pid"])

    def allow(self, limit: str) -> None:
        """Put a limit in force, and return when the running API has it."""
        self.policies.write_text(_POLICY.format(limit=limit), encoding="utf-8")
        token = issue_token(self.settings, tenant_id=self.tenants[0], subject="bench", valid_s=600)
        expected = limit.partition("/")[0]

        def is_in_force() -> bool:
            answer = httpx.get(f"{self.url}/api/me", headers={"Authorization": f"Bearer {token}"}, timeout=60)
            return bool(answer.headers.get("x-ratelimit-limit") == expected)

        wait_until(is_in_force, timeout_s=60, what=f"the limit {limit} to be in force", every_s=0.5)


@contextmanager
def cores_by_niceness() -> Iterator[bool]:
    """See that niceness decides who gets the cores, as far as we may, and put it back at the end; give whether it does.

    Linux shares cores out among sessions first, and each PostgreSQL backend is one: here, where everything shares two cores, a handful of
    them would get as much as the whole API each. On machines of their own they would have cores of their own.
    """
    before = _AUTOGROUP.read_text().strip() if _AUTOGROUP.exists() else "0"
    if before == "0":
        yield True
    elif not os.access(_AUTOGROUP, os.W_OK):
        say(
            "kernel.sched_autogroup_enabled is on, and only root may change it: PostgreSQL's backends get more of the cores than the API"
        )
        yield False
    else:
        say("kernel.sched_autogroup_enabled: off while this runs")
        _AUTOGROUP.write_text("0")
        try:
            yield True
        finally:
            _AUTOGROUP.write_text(before)


@contextmanager
def running_stack(lines: int, *, users: int, data_dir: Path | None) -> Iterator[StackFixture]:
    """Start everything, and stop it at the end.

    Args:
        lines: sale lines over all tenants together.
        users: spread over the tenants.
        data_dir: where the data are kept for another run; None: somewhere, and removed at the end.
    """
    scratch = Path(tempfile.mkdtemp(prefix="salespulse-bench-"))
    scratch.chmod(0o755)
    directory = data_dir or scratch / "stack"
    policies = scratch / "policies.toml"
    policies.write_text(_POLICY.format(limit=BUNDLED_LIMIT), encoding="utf-8")
    os.environ["SALESPULSE_RATELIMIT_POLICIES"] = str(policies)
    try:
        settings = up(
            StackOptions(data_dir=directory, commands=supervised_commands(), nice_values=NICE_VALUES),
            migrate=prepare_schema,
            log=say,
        ).settings
        sales_lines = _prepare(settings, lines)
        stores = _stores(settings)
        requests = scratch / "requests.tsv"
        _write_requests(requests, settings, stores, users)
        yield StackFixture(settings, directory, tuple(stores), requests, policies, sales_lines, users)
    finally:
        del os.environ["SALESPULSE_RATELIMIT_POLICIES"]
        down(directory, log=say)
        shutil.rmtree(scratch, ignore_errors=True)


def wait_until_quiet(settings: Settings) -> None:
    """Return when every committed change is in the rollups."""
    wait_until_drained(settings, stall_s=300, watch=_ignore)


def _prepare(settings: Settings, lines: int) -> int:
    with psycopg.connect(settings.url("application_url"), autocommit=True) as connection:
        if connection.execute("SELECT count(*) FROM retail.tenants").fetchone() == (0,):
            say(f"making {lines:,} sale lines of {TENANTS} tenants")
            generate(
                connection,
                tenants=TENANTS,
                sales=round(lines / LINES_PER_SALE),
                days=DAYS,
                seed=SEED,
                last_day=_today(),
            )
        say("waiting for the rollups")
        wait_until_quiet(settings)
        count_row = connection.execute("SELECT count(*) FROM retail.sale_items").fetchone()
    with psycopg.connect(settings.url("admin_url"), autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
        admin.execute("CHECKPOINT")
    assert count_row is not None
    return int(count_row[0])


def _stores(settings: Settings) -> dict[str, list[str]]:
    """Return the store ids of each tenant, the largest tenant first."""
    stores: dict[str, list[str]] = {}
    with psycopg.connect(settings.url("application_url"), autocommit=True) as connection:
        for tenant_id, store_id in connection.execute(
            "SELECT t.id, s.id FROM retail.tenants AS t INNER JOIN retail.stores AS s ON s.tenant_id = t.id "
            "INNER JOIN (SELECT tenant_id, count(*) AS sales FROM retail.sales GROUP BY tenant_id) AS n ON n.tenant_id = t.id "
            "WHERE t.name LIKE %s ORDER BY n.sales DESC, t.id, s.id",
            [f"Synthetic {SEED}-%"],
        ):
            stores.setdefault(tenant_id, []).append(store_id)
    return stores


def _write_requests(path: Path, settings: Settings, stores: dict[str, list[str]], users: int) -> None:
    """Write requests of the users in turn, each drawn from the mix."""
    dice = random.Random(SEED)
    tenants = list(stores)
    users_requests = []
    for number in range(users):
        tenant = tenants[number % len(tenants)]
        token = issue_token(settings, tenant_id=tenant, subject=f"user {number}", valid_s=24 * 3600)
        users_requests.append((_selection(dice, stores[tenant]), token))
    with path.open("w", encoding="utf-8") as file:
        for number in range(_REQUESTS):
            selection, token = users_requests[number % users]
            (name,) = dice.choices(list(_MIX), list(_MIX.values()))
            file.write(f"/api/dashboard/{name}{selection}\t{token}\n")


def _selection(dice: random.Random, stores: list[str]) -> str:
    """Return one user's query string: mostly the page's default."""
    if dice.random() >= _OWN_DATES:
        return ""
    days = dice.choice(_PERIODS)
    query = {"from": (_today() - timedelta(days=days - 1)).isoformat(), "to": _today().isoformat()}
    if dice.random() < _ONE_STORE:
        query["store"] = dice.choice(stores)
    return f"?{urlencode(query)}"


def _today() -> date:
    return datetime.now(UTC).date()


def _ignore(seen: SourceObservation) -> None:
    del seen


def say(line: str) -> None:
    print(f"  stack: {line}", flush=True)
