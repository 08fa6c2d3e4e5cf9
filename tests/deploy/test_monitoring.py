"""deploy/: the rules and the dashboard speak of metrics and labels that the code has, and promtool takes them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.core import Metric

from background_jobs.store import FailureCode, Histogram, JobState, JobStats, families
from background_jobs.webhooks import DELIVERY_OUTCOMES
from dashboard_api.metrics import ApiMetrics, StateCollector, StateSnapshot
from dbconnect.pool_options import PoolState
from dbconnect.router_base import RouterState
from dbconnect.server_health import ServerState
from ratelimit_service.metrics import Metrics as LimiterMetrics
from tests.docs.pages import ROOT, read_page

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "salespulse-rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "salespulse.json").read_text(encoding="utf-8"))
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

_NAME = re.compile(r"\b(?:salespulse|jobs|webhook|ratelimit|dagster)[a-z]*[_:][a-z0-9_:]+")
_MATCHER = re.compile(r"(?P<name>[a-z0-9_:]+)\{(?P<matchers>[^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|on|without) \((?P<labels>[^)]*)\)")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
# What Prometheus itself adds.
_ALWAYS = {"instance", "job", "le", "alertname", "alertstate"}


def collected() -> Iterator[Metric]:
    """Every family that `/metrics` may show, from the collectors themselves, each label used once."""
    requests = ApiMetrics()
    requests.observe_request("/api/me", "GET", 200, 0.1)
    requests.cache_lookups.labels("hit")
    requests.report_seconds.labels("summary")
    yield from requests.registry.collect()
    limiter = LimiterMetrics(lambda: 0)
    limiter.policy("default")
    yield from limiter.collect()
    server = ServerState("replica", False, True, "", "", lag_s=1.0, lag_bytes=1, check_age_s=0.1, weight=1)
    pools = {"replica": PoolState(size=1, limit=1, in_use=1, waiting=1)}
    state = RouterState((server,), pools, fallback_budget=1.0, preparing={}, reads={"fresh": 1})
    snapshot = StateSnapshot(freshness=None, cache_bytes=0, cache_entries=0, requests_waiting=0, router=state)
    yield from StateCollector(lambda: snapshot).collect()
    yield from families(STATS)


STATS = JobStats(
    depth={("hello_world", JobState.QUEUED): 1},
    oldest_queued_age_s=0.0,
    finished={("hello_world", "failed", FailureCode.STEP_FAILURE.value): 1},
    attempts={"hello_world": 1},
    forced={FailureCode.WORKER_LOST.value: 1},
    late_outcomes={"hello_world": 1},
    histograms={
        (name, "hello_world"): Histogram((0,) * 17, 0.0) for name in ("queue_wait", "run", "e2e", "status_lag")
    },
    stale=0,
    others={("webhook_deliveries", (("outcome", outcome),)): 1 for outcome in DELIVERY_OUTCOMES},
    gauges={"dagster_daemon_heartbeat_age_seconds": 1.0},
)


@pytest.fixture(scope="module")
def samples() -> set[str]:
    names = {f"{family.name}{suffix}" for family in collected() for suffix in _SUFFIXES.get(family.type, ("",))}
    return names | {"jobs_store_up"}


def dashboard_expressions() -> dict[str, str]:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel["targets"]}


EXPRESSIONS = {
    **{f"rule {rule.get('alert') or rule.get('record')}": rule["expr"] for rule in RULES},
    **{f"panel {name}": text for name, text in dashboard_expressions().items()},
}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_named_is_one_that_the_code_has(where: str, samples: set[str]) -> None:
    names = set(_NAME.findall(re.sub(r'"[^"]*"', "", EXPRESSIONS[where]))) - {"salespulse"}
    assert names or "up{" in EXPRESSIONS[where]
    assert {name for name in names if ":" in name} <= RECORDED
    assert {name for name in names if ":" not in name} <= samples


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_label_named_is_one_that_some_metric_has(where: str) -> None:
    label_names = _ALWAYS | {label for family in collected() for one in family.samples for label in one.labels}
    text = EXPRESSIONS[where]
    used_labels = [part for match in _GROUPING.finditer(text) for part in match["labels"].split(",")]
    used_labels += [
        re.split(r"[=!]", part)[0] for match in _MATCHER.finditer(text) for part in match["matchers"].split(",")
    ]
    assert {label.strip() for label in used_labels if label.strip()} <= label_names


def test_webhook_outcomes_in_rules_are_the_senders() -> None:
    text = " ".join(text for text in EXPRESSIONS.values() if "webhook" in text)
    named = {part for outcomes in re.findall(r'outcome=~?"([a-z|]+)"', text) for part in outcomes.split("|")}
    assert named <= set(DELIVERY_OUTCOMES)


def test_the_promised_bounds_are_the_alerts() -> None:
    assert ALERTS["SalespulseSlow"]["expr"].endswith("> 0.2")
    assert ALERTS["SalespulseJobsFailing"]["expr"].endswith("> 0.001")
    assert ALERTS["SalespulseStatusLag"]["expr"].endswith("> 0.5")
    # A bound within a histogram is one of its buckets, or it would be guessed.
    buckets = {family.name: {one.labels.get("le") for one in family.samples} for family in collected()}
    assert "0.5" in buckets["jobs_status_lag_seconds"]
    assert "0.2" in buckets["salespulse_http_request_seconds"]


def test_every_alert_is_whole_and_described() -> None:
    described = set(re.findall(r"^\| `(Salespulse\w+)` \|", read_page("docs/monitoring.md"), re.MULTILINE))
    assert described == ALERTS.keys()
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}, name
        assert rule["annotations"]["summary"], name


def test_every_alert_is_tested() -> None:
    text = (PROMETHEUS / "salespulse-rules-test.yml").read_text(encoding="utf-8")
    assert {name for name in ALERTS if f'alertname="{name}"' not in text} == set()


def test_the_jobs_metrics_of_the_page_exist(samples: set[str]) -> None:
    chapter = read_page("docs/monitoring.md").partition("## Metrics of the jobs")[2].partition("## Alerts")[0]
    named = set(re.findall(r"`((?:jobs|webhook|dagster)_[a-z0-9_]+)", chapter))
    bare = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in samples}
    of_jobs = {name for name in bare if name.startswith(("jobs_", "webhook_", "dagster_"))}
    assert {name.removesuffix("_total") for name in named} == of_jobs


def test_the_dashboard_is_in_order() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    occupied: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & occupied, panel["title"]
        occupied |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"


def test_the_example_reads_the_rules() -> None:
    example = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert [PROMETHEUS / name for name in example["rule_files"]] == [PROMETHEUS / "salespulse-rules.yml"]
    assert example["scrape_configs"][0]["job_name"] == "salespulse"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "salespulse-rules.yml"),
        ("test", "rules", "salespulse-rules-test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_takes_them(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
