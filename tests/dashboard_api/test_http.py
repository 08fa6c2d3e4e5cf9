"""How answers are sent: freshness, entity tags, CSV, pages, compression, refusals, headers, health, metrics."""

import csv
import io
import json
import logging
import zlib
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from dashboard_api.process_setup import BufferedHandler, JsonFormatter
from dashboard_api.serialization import render_csv
from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import Api, token_for

SUMMARY = "/api/dashboard/sales-summary"
JUNE = {"from": "2025-06-01", "to": "2025-06-30"}


def test_every_answer_says_what_moment_it_reflects(client: httpx.Client) -> None:
    response = client.get(SUMMARY, params=JUNE)
    document = response.json()
    as_of = datetime.fromisoformat(document["as_of"])
    age_s = (datetime.now(UTC) - as_of).total_seconds()
    assert age_s - 2 < document["staleness_s"] <= age_s + 0.1
    assert response.headers["x-as-of"] == document["as_of"]
    assert document["is_stale"] is False
    assert "x-stale" not in response.headers


def test_an_unchanged_answer_is_304(client: httpx.Client) -> None:
    first = client.get(SUMMARY, params=JUNE)
    again = client.get(SUMMARY, params=JUNE, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["x-as-of"]
    for tags in (f'"other", {first.headers["etag"]}', "*", first.headers["etag"].removeprefix("W/")):
        assert client.get(SUMMARY, params=JUNE, headers={"If-None-Match": tags}).status_code == 304
    assert client.get(SUMMARY, params=JUNE, headers={"If-None-Match": '"other"'}).status_code == 200
    assert "private" in first.headers["cache-control"]


def test_the_tag_follows_the_figures_and_nothing_else(client: httpx.Client, api: Api, shop: Shop) -> None:
    """Another tenant's sale moves `as_of`, not the tag; an own sale changes both, at once and by exactly its amount."""
    before = client.get(SUMMARY, params=JUNE)
    shop.sell(shop.tenants[1], "of-another-tenant")
    shop.refresh()
    later = before

    def has_moved() -> bool:
        nonlocal later
        later = client.get(SUMMARY, params=JUNE)
        return later.headers["x-as-of"] > before.headers["x-as-of"]

    wait_until(has_moved, timeout_s=10, what="as_of to move")
    assert later.headers["etag"] == before.headers["etag"]
    shop.sell(shop.tenant, "an-own-one")
    shop.refresh()
    wait_until(
        lambda: client.get(SUMMARY, params=JUNE).headers["etag"] != before.headers["etag"],
        timeout_s=10,
        what="the new sale to show",
    )
    totals, earlier = client.get(SUMMARY, params=JUNE).json()["totals"], before.json()["totals"]
    assert totals["sale_count"] == earlier["sale_count"] + 1
    assert round(float(totals["gross_amount"]) - float(earlier["gross_amount"]), 3) == 20.25


@pytest.mark.parametrize("way", ["parameter", "header"])
def test_csv(client: httpx.Client, way: str) -> None:
    document = client.get(SUMMARY, params=JUNE).json()
    options: dict[str, Any] = (
        {"params": {**JUNE, "format": "csv"}}
        if way == "parameter"
        else {"params": JUNE, "headers": {"Accept": "text/csv"}}
    )
    response = client.get(SUMMARY, **options)
    assert response.headers["content-type"].startswith("text/csv")
    assert 'filename="sales-summary.csv"' in response.headers["content-disposition"]
    assert response.headers["etag"]
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert rows == [{name: str(value) for name, value in day.items()} for day in document["days"]]


def test_a_browser_that_takes_anything_gets_json(client: httpx.Client) -> None:
    response = client.get(SUMMARY, headers={"Accept": "text/html,application/json,text/csv,*/*"})
    assert response.headers["content-type"] == "application/json"


def test_csv_runs_no_formulas_and_keeps_numbers() -> None:
    rows = [{"name": text, "amount": "-12.50"} for text in ("=1+1", "+x", "-x", "@x", "\tx", 'a "b", c\nd', "Plain")]
    parsed = list(csv.reader(io.StringIO(render_csv(("name", "amount"), rows).decode()), lineterminator="\r\n"))
    assert [row[0] for row in parsed[1:]] == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", 'a "b", c\nd', "Plain"]
    assert {row[1] for row in parsed[1:]} == {"-12.50"}


def test_csv_without_rows_still_has_its_header(api: Api) -> None:
    with api.client(token_for("tenant-without-sales")) as client:
        text = client.get("/api/dashboard/top-products", params={"format": "csv"}).text
    assert text.startswith("product_id,sku,name,")
    assert text.count("\r\n") == 1


def test_pages_join_into_the_whole_list(client: httpx.Client) -> None:
    options = {"from": "2025-01-01", "to": "2025-06-30", "sort": "units"}
    whole = client.get("/api/dashboard/top-products", params={**options, "limit": 200}).json()
    rows, offset = [], 0
    while offset is not None:
        page = client.get("/api/dashboard/top-products", params={**options, "limit": 7, "offset": offset}).json()
        assert page["page"]["total_rows"] == whole["page"]["total_rows"]
        rows += page["products"]
        offset = page["page"]["next_offset"]
    assert rows == whole["products"]
    past = client.get("/api/dashboard/top-products", params={**options, "offset": 5_000}).json()
    assert past["products"] == []
    assert past["page"]["next_offset"] is None


def test_long_answers_are_compressed_for_who_can_read_them(client: httpx.Client) -> None:
    compressed = client.get(SUMMARY, params=JUNE, headers={"Accept-Encoding": "gzip"})
    plain = client.get(SUMMARY, params=JUNE, headers={"Accept-Encoding": "identity"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(compressed.headers["content-length"]) * 3 < int(plain.headers["content-length"])
    assert compressed.json()["days"] == plain.json()["days"]
    assert "Accept-Encoding" in plain.headers["vary"]


def test_what_is_compressed_is_one_gzip_member(client: httpx.Client) -> None:
    """Browsers read the first member of a gzip file only; the body is put together of two parts."""
    with client.stream("GET", SUMMARY, params=JUNE, headers={"Accept-Encoding": "gzip"}) as response:
        compressed = b"".join(response.iter_raw())
    reader = zlib.decompressobj(wbits=31)
    body = reader.decompress(compressed)
    assert reader.eof, "its checksum and length hold"
    assert reader.unused_data == b""
    assert json.loads(body)["as_of"] == response.headers["x-as-of"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "2025-02-30"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "1899-12-31"}, "from"),
        ({"to": "2200-01-01"}, "to"),
        ({"from": "2025-06-02", "to": "2025-06-01"}, "from"),
        ({"from": "2020-01-01", "to": "2025-01-01"}, "from"),
        ({"from": "2000-01-01"}, "from"),
        ({"store": ""}, "store"),
        ({"store": ["s"] * 51}, "store"),
        ({"format": "xml"}, "format"),
        ({"form": "csv"}, "form"),
    ],
    ids=str,
)
def test_what_can_not_be_asked_is_422_and_named(client: httpx.Client, params: dict[str, Any], field: str) -> None:
    response = client.get(SUMMARY, params=params)
    assert response.status_code == 422
    problem = response.json()
    assert [error["field"].split(".")[0] for error in problem["errors"]] == [field]
    assert field in problem["detail"]


def test_paths_and_methods_that_are_not_there(client: httpx.Client) -> None:
    for response, status in (
        (client.get("/api/dashboard/nothing"), 404),
        (client.post(SUMMARY), 405),
        (client.get("/static/../app.py"), 404),
        (client.get("/static/..%2f..%2fapp.py"), 404),
    ):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


def test_every_response_carries_an_id_and_keeps_a_plain_one(client: httpx.Client) -> None:
    assert len(client.get("/healthz").headers["x-request-id"]) == 16
    assert (
        client.get("/healthz", headers={"X-Request-ID": "from-the-proxy.1"}).headers["x-request-id"]
        == "from-the-proxy.1"
    )
    odd = client.get("/healthz", headers={"X-Request-ID": "a b{}" + "x" * 100}).headers["x-request-id"]
    assert len(odd) == 16


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/static/app.js", SUMMARY, "/nothing"])
def test_headers_that_keep_a_browser_safe(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy, "no other host"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_ready_says_each_dependencys_state(client: httpx.Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    document = response.json()
    assert {server["name"]: server["is_usable"] for server in document["database"]} == {
        "replica": True,
        "primary": True,
    }
    assert document["figures"]["is_ready"]
    assert "127.0.0.1" not in response.text
    assert "password" not in response.text


def test_metrics_count_by_route_and_name_nobody(client: httpx.Client, api: Api, shop: Shop) -> None:
    labels = {"route": SUMMARY, "method": "GET", "status": "200"}
    before = api.metric("salespulse_http_request_seconds_count", **labels)
    client.get(SUMMARY, params={"store": shop.stores[shop.tenant][0]})
    assert api.metric("salespulse_http_request_seconds_count", **labels) == before + 1
    text = client.get("/metrics").text
    for name in (
        "salespulse_answer_cache_lookups_total",
        "salespulse_answer_cache_bytes",
        "salespulse_dashboard_staleness_seconds",
        "salespulse_pool_in_use",
        "salespulse_pool_waiting",
        "salespulse_replica_lag_bytes",
        "salespulse_server_usable",
        "salespulse_fallback_budget",
        "process_resident_memory_bytes",
    ):
        assert f"\n{name}" in text, name
    for secret in (shop.tenant, shop.stores[shop.tenant][0], "someone"):
        assert secret not in text


def test_an_error_that_nobody_expected_is_a_plain_500(
    client: httpx.Client, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        message = "a secret detail"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(api.services.data_version, "version", broken)
    response = client.get(SUMMARY)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert response.json()["request_id"] in response.headers["x-request-id"]
    assert "a secret detail" in caplog.text, "the log has it"
    assert api.metric("salespulse_http_request_seconds_count", route=SUMMARY, method="GET", status="500") == 1


def test_log_lines_are_gathered_but_a_warning_is_written_at_once() -> None:
    stream = io.StringIO()
    handler = BufferedHandler(stream, every_s=3_600)
    handler.handle(logging.makeLogRecord({"msg": "first", "levelno": logging.INFO}))
    assert stream.getvalue() == ""
    handler.handle(logging.makeLogRecord({"msg": "second", "levelno": logging.WARNING}))
    assert stream.getvalue() == "first\nsecond\n"
    handler.handle(logging.makeLogRecord({"msg": "third", "levelno": logging.INFO}))
    handler.close()
    assert stream.getvalue() == "first\nsecond\nthird\n", "nothing is lost when the process ends"


def test_log_lines_come_by_themselves() -> None:
    stream = io.StringIO()
    handler = BufferedHandler(stream, every_s=0.01)
    handler.handle(logging.makeLogRecord({"msg": "a line", "levelno": logging.INFO}))
    wait_until(lambda: stream.getvalue() == "a line\n", timeout_s=30, what="the line", every_s=0.01)
    handler.close()


def test_a_log_line_is_json_with_the_requests_id() -> None:
    record = logging.makeLogRecord(
        {"msg": "served %s", "args": ("it",), "levelname": "INFO", "name": "x", "status": 200}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "served it"
    assert line["status"] == 200
    assert line["request_id"] == "-"
    assert line["at"].endswith("+00:00")


def test_no_credential_reaches_the_log(client: httpx.Client, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client.get(SUMMARY)
    client.get(SUMMARY, headers={"Authorization": "Bearer spk_of-someone"})
    lines = [json.dumps(vars(record), default=str) for record in caplog.records if not record.name.startswith("http")]
    assert any(SUMMARY in line for line in lines)
    assert not any(token_for(shop.tenant)[:40] in line or "spk_of-someone" in line for line in lines)
