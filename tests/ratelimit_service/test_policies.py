"""Limits and policies as text, files and documents in Redis; and reloading them under traffic."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service import (
    Algorithm,
    FileSource,
    Limit,
    Policy,
    PolicyError,
    PolicyFileError,
    PolicySet,
    PolicyWatcher,
    RedisSource,
    load_policies,
    parse_policies,
    publish_policies,
)
from tests.servers.redis_servers import until


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100/minute", Limit(100, 60_000_000)),
        ("10/second burst 20", Limit(10, 1_000_000, burst=20)),
        ("1000/hour sliding", Limit(1000, 3_600_000_000, Algorithm.SLIDING)),
        ("5/15 minutes fixed per user", Limit(5, 900_000_000, Algorithm.FIXED, per=("user",))),
        ("5/500ms log per tenant + user", Limit(5, 500_000, Algorithm.LOG, per=("tenant", "user"))),
        ("1_000/d per all", Limit(1000, 86_400_000_000, per=())),
        ("5 in flight lease 1.5s per user", Limit(5, 1_500_000, Algorithm.IN_FLIGHT, per=("user",))),
        ("5 in flight", Limit(5, 30_000_000, Algorithm.IN_FLIGHT)),
    ],
)
def test_the_notation(text, limit):
    assert Limit.parse(text) == limit
    assert Limit.parse(limit.text) == limit


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.sampled_from(Algorithm),
    st.sampled_from([(), ("key",), ("a", "b")]),
)
def test_any_limit_is_read_back_from_its_text(quantity, period_ms, algorithm, per):
    try:
        limit = Limit(quantity, period_ms * 1000, algorithm, None, per)
    except PolicyError:
        return
    assert Limit.parse(limit.text) == limit


@pytest.mark.parametrize(
    "text", ["", "100", "100/", "x/minute", "-1/minute", "0/minute", "1/fortnight", "5/s burst 0", "5/s sliding burst 9",
             "100000000/s sliding", "200000/s log", "1/s per a+a", "1/90000d", "_/s", "1__0/s", "1" * 5000 + "/s",
             "1/" + "9" * 400 + "d", "1/0.0000001ms", "\u0661/s"]
)  # fmt: skip
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(PolicyError):
        Limit.parse(text)


@given(st.text("0123456789_./ smhdinflghtperbu", max_size=40))
def test_any_text_is_a_limit_or_refused(text):
    with contextlib.suppress(PolicyError):
        assert Limit.parse(Limit.parse(text).text).text == Limit.parse(text).text


def test_policies_that_contradict_themselves_are_refused():
    for build in (
        lambda: Policy.parse("p"),
        lambda: Policy.parse("", "1/s"),
        lambda: Policy.parse("p", "1/s", "1/s"),
        lambda: Policy.parse("p", "5/s", lease=6),
        lambda: Policy.parse("p", "5 in flight", lease=2),
        lambda: PolicySet([Policy.parse("p", "1/s"), Policy.parse("p", "2/s")]),
    ):
        with pytest.raises(PolicyError):
            build()


TOML = """version = "7"

[policies.api]
limits = ["100/minute per user", "5000/minute per tenant"]
on_outage = "local"
one_slot = true

[policies.api.tenants.acme]
limits = ["1000/minute per user"]
"""
YAML = """
version: "7"
policies:
  api:
    limits:
      - 100/minute per user
      - 5000/minute per tenant
    on_outage: local
    one_slot: true
    tenants:
      acme: {limits: [1000/minute per user]}
"""


def test_toml_and_yaml_say_the_same(tmp_path):
    (tmp_path / "p.toml").write_text(TOML)
    (tmp_path / "p.yaml").write_text(YAML)
    one, other = load_policies(tmp_path / "p.toml"), load_policies(tmp_path / "p.yaml")
    assert dict(one) == dict(other)
    assert one.version == other.version == "7"
    assert one["api"].tenants["acme"] == (Limit.parse("1000/minute per user"),)


@pytest.mark.parametrize(
    ("kind", "text", "line", "reason"),
    [
        ("toml", TOML.replace("5000/minute", "5000/lustrum"), 4, "can't parse the limit '5000/lustrum"),
        ("toml", TOML.replace('"local"', '"maybe"'), 5, "expected one of open, closed, local"),
        ("toml", TOML + "cost = 2\n", 10, "unknown name"),
        ("toml", TOML + "limits = [", 10, ""),
        ("toml", TOML.replace('["1000/minute per user"]', "[]"), 9, "expected at least one limit"),
        ("yaml", YAML.replace("5000/minute", "5000/lustrum"), 7, "can't parse the limit"),
        ("yaml", YAML.replace("one_slot: true", "one_slot: 3"), 9, "expected bool"),
        ("yaml", YAML + "  - x", 12, ""),
    ],
)
def test_a_bad_file_is_refused_whole_with_line_and_reason(tmp_path, kind, text, line, reason):
    path = tmp_path / f"p.{kind}"
    path.write_text(text)
    with pytest.raises(PolicyFileError) as rejection:
        load_policies(path)
    assert rejection.value.line == line, str(rejection.value)
    assert reason in str(rejection.value)
    assert str(path) in str(rejection.value)


def written(document: list, kind: str) -> str:
    """One document in each format; a list of pairs is a table that may have a name twice."""

    def table(pairs: list, indent: str) -> str:
        return "".join(
            f"{indent}{name}:\n{table(value, indent + '  ')}"
            if isinstance(value, list)
            else f"{indent}{name}: {value}\n"
            for name, value in pairs
        )

    def json_table(pairs: list) -> str:
        parts = (f'"{name}": {json_table(value) if isinstance(value, list) else value}' for name, value in pairs)
        return "{" + ",\n".join(parts) + "}"

    def toml_table(pairs: list, place: str) -> str:
        values = "".join(f"{name} = {value}\n" for name, value in pairs if not isinstance(value, list))
        tables = (
            f"[{place}{name}]\n{toml_table(value, f'{place}{name}.')}"
            for name, value in pairs
            if isinstance(value, list)
        )
        return values + "".join(tables)

    return {"yaml": table(document, ""), "json": json_table(document), "toml": toml_table(document, "")}[kind]


@pytest.mark.parametrize("kind", ["yaml", "json", "toml"])
@pytest.mark.parametrize(
    ("place", "name"),
    [((), "version"), ((), "policies"), (("policies",), "p"), (("policies", "p"), "cost"), (("policies", "p"), "tenants"),
     (("policies", "p", "tenants"), "acme"), (("policies", "p", "tenants", "acme"), "limits")]
)  # fmt: skip
def test_a_name_that_is_defined_twice_anywhere_is_refused(tmp_path, kind, place, name):
    limits = ("limits", '["5/day"]')
    policy = [limits, ("cost", "2"), ("tenants", [("acme", [limits])])]
    document = [("version", '"7"'), ("policies", [("p", policy), ("q", [limits])])]
    path = tmp_path / f"p.{kind}"
    path.write_text(written(document, kind))
    assert set(load_policies(path)) == {"p", "q"}
    table = document
    for part in place:
        table = dict(table)[part]
    table.append((name, dict(table)[name]))
    path.write_text(written(document, kind))
    with pytest.raises(PolicyFileError) as rejection:
        load_policies(path)
    assert rejection.value.line
    if kind != "toml":
        assert f"{'.'.join((*place, name))}: is defined twice; the first is on line" in str(rejection.value)


@pytest.mark.parametrize("other", ["'7'", "0x7", "+7"])
def test_two_spellings_of_one_name_are_one_name(other):
    text = f"policies: {{p: {{limits: [5/day], tenants: {{7: {{limits: [1/day]}}, {other}: {{limits: [2/day]}}}}}}}}"
    with pytest.raises(PolicyFileError, match=r"policies\.p\.tenants\.7: is defined twice"):
        parse_policies(text, source="here", is_toml=False)


def test_an_anchor_that_is_merged_and_overridden_defines_nothing_twice():
    text = "policies:\n  p: &p {limits: [5/day], cost: 2}\n  q: {<<: *p, cost: 3}\n"
    policies = parse_policies(text, source="here", is_toml=False)
    assert (policies["p"].cost, policies["q"].cost) == (2, 3)


ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    "",
    "x",
    "5/s",
    "open",
    "2024-99-99",
    [],
    ["5/s"],
    [1],
    {},
    {"limits": ["5/s"]},
]
_values = st.recursive(
    st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["policies", "p", "limits", "tenants", "cost", "version", "lease"]), inner)
    ),
    max_leaves=8,
)


@given(_values, st.booleans())
def test_any_document_is_used_or_refused_with_its_reason(document, is_nested):
    document = {"policies": {"p": document}} if is_nested else document
    reason = "here"
    try:
        parse_policies(yaml.safe_dump(document), source="here", is_toml=False)
    except PolicyFileError as error:
        reason = str(error)
    assert reason.startswith("here")


@pytest.mark.parametrize(
    ("text", "is_toml"),
    [
        ("version: 2024-99-99", False),
        ("[\n" * 5000, False),
        ("a: &a [*a]", False),
        ("policies: &p {p: *p}", False),
        ("? {a: b}\n: c", False),
        ("\0", False),
        ("a = " + "[" * 5000, True),
        ("version = 2024-99-99", True),
    ],
)
def test_what_a_parser_stumbles_over_is_refused_too(text, is_toml):
    with pytest.raises(PolicyFileError, match="here"):
        parse_policies(text, source="here", is_toml=is_toml)


def test_a_watcher_outlives_whatever_happens_to_it(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('[policies.p]\nlimits = ["5/day"]\n')
    installed = []

    def install(policies: PolicySet) -> None:
        installed.append(policies["p"].limits[0].quantity)
        if len(installed) == 2:
            raise RuntimeError("the event loop is closed")

    watcher = PolicyWatcher(FileSource(path), install, interval_s=0.01)
    watcher.start()
    for quantity in (66, 777):
        path.write_text(f'[policies.p]\nlimits = ["{quantity}/day"]\n')
        until(lambda quantity=quantity: installed[-1] == quantity, within_s=60)
    watcher.stop()
    assert installed == [5, 66, 777]


def test_a_watched_file_is_installed_whole_and_a_bad_one_changes_nothing(make_limiter, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('[policies.p]\nlimits = ["5/day"]\n')
    limiter = make_limiter(Policy.parse("p", "1/day"))
    rejection = []
    watcher = PolicyWatcher(FileSource(path), limiter.install, on_refused=lambda: rejection.append(1))
    assert watcher.poll()
    assert limiter.check("p", "k").limit == 5
    assert not watcher.poll()
    path.write_text('[policies.p]\nlimits = ["5/daily"]\n')
    assert not watcher.poll()
    assert "line 2" in watcher.last_error
    assert limiter.check("p", "k").remaining == 3, "the last good set stays, and so do its counts"
    path.unlink()
    assert not watcher.poll()
    assert len(rejection) == 2
    path.write_text('[policies.p]\nlimits = ["7/day"]\n')
    assert watcher.poll()
    assert watcher.last_error is None
    assert limiter.check("p", "k").remaining == 6, "a changed limit starts at zero"


def test_published_policies_reach_every_watcher_mid_traffic(make_limiter, client):
    def document(limit: int) -> dict:
        return {"policies": {"p": {"limits": [f"{limit}/day per user", f"{limit * 10}/day per all"]}}}

    publish_policies(client, document(100))
    limiter = make_limiter(Policy.parse("p", "1/day"))
    watcher = PolicyWatcher(RedisSource(client), limiter.install, interval_s=0.02)
    watcher.start()
    stop = threading.Event()

    def traffic(number: int) -> set[tuple[int, int]]:
        events = set()
        while not stop.is_set():
            decision = limiter.check("p", {"user": number})
            first, second = decision.limits
            events.add((first.limit.quantity, second.limit.quantity))
        return events

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(traffic, number) for number in range(4)]
        for limit in (200, 300, 400):
            publish_policies(client, document(limit))
            until(lambda limit=limit: limiter.policies["p"].limits[0].quantity == limit)
        with pytest.raises(PolicyFileError):
            publish_policies(client, {"policies": {"p": {"limits": ["many"]}}})
        stop.set()
        events = set().union(*(each.result() for each in running))
    watcher.stop()
    assert limiter.policies["p"].limits[0].quantity == 400
    assert all(wide == narrow * 10 for narrow, wide in events), "no check saw half of a set"
