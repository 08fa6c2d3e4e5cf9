"""Answers from a process of their own: the same ones, refusals too; and what happens when that process dies, hangs, or is left alone."""

import asyncio
import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_api.errors import InvalidParameterError, NotReadyError, StoreNotFoundError, UnauthenticatedError
from dashboard_api.report_process import RemoteReportBuilder, remote
from dashboard_api.report_process.frames import Frames, PickledError
from dbconnect import NoFreshServerError, Settings
from local_stack.waiting import wait_until
from tests.dashboard_api import process as api_process
from tests.dashboard_api.conftest import LAST_DAY, Shop
from tests.dashboard_api.server import Api, serve, token_for

REPORTS = (
    "overview", "sales-summary", "trend", "top-products", "top-customers", "product-groups", "payments", "heatmap", "stores",
)  # fmt: skip


@pytest.fixture(scope="module")
def remote_api(api_settings: Callable[..., Settings]) -> Iterator[Api]:
    """Served with a process that makes its answers."""
    with serve(api_settings(dashboard_maker=True)) as api:
        assert builder_of(api).pid is not None
        yield api


def builder_of(api: Api) -> RemoteReportBuilder:
    assert isinstance(api.services.builder, RemoteReportBuilder)
    return api.services.builder


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("form", ["json", "csv"])
def test_answers_are_those_that_the_serving_process_makes(
    remote_api: Api, api: Api, shop: Shop, report: str, form: str
) -> None:
    for tenant in shop.tenants:
        params = {"format": form, "from": "2025-05-03", "to": "2025-06-17"}
        ours, theirs = (
            at.client(token_for(tenant)).get(f"/api/dashboard/{report}", params=params) for at in (remote_api, api)
        )
        assert ours.status_code == theirs.status_code == 200
        assert ours.headers["etag"] == theirs.headers["etag"]
        assert ours.headers["content-type"] == theirs.headers["content-type"]
        if form == "csv":
            assert ours.text == theirs.text


@pytest.mark.parametrize(
    ("params", "status", "kind"),
    [
        ({"store": "nobody's"}, 404, "store-not-found"),
        ({"from": "1950-01-01"}, 422, "invalid-parameter"),
        ({"granularity": "hour", "from": "2025-01-01", "to": "2025-06-01"}, 422, "invalid-parameter"),
    ],
)
def test_refusals_are_the_same(
    remote_api: Api, api: Api, shop: Shop, params: dict[str, str], status: int, kind: str
) -> None:
    ours, theirs = (
        at.client(token_for(shop.tenant)).get("/api/dashboard/trend", params=params) for at in (remote_api, api)
    )
    assert (ours.status_code, ours.json()["type"]) == (status, f"/problems/{kind}")
    assert {**ours.json(), "request_id": ""} == {**theirs.json(), "request_id": ""}


def test_another_tenants_store_is_not_found(remote_api: Api, shop: Shop) -> None:
    first, second, *_ = shop.tenants
    answer = remote_api.client(token_for(first)).get(
        "/api/dashboard/overview", params={"store": shop.stores[second][0]}
    )
    assert answer.status_code == 404


def test_its_reads_and_pools_are_in_the_metrics(remote_api: Api, shop: Shop) -> None:
    before = remote_api.metric("salespulse_report_reads_total", report="heatmap")
    remote_api.client(token_for(shop.tenant)).get("/api/dashboard/heatmap", params={"to": "2025-02-11"})
    assert remote_api.metric("salespulse_report_reads_total", report="heatmap") == before + 1
    assert remote_api.metric("salespulse_report_seconds_count", report="heatmap") >= 1
    assert remote_api.metric("salespulse_pool_limit", server="replica") == 4, (
        "both together have what the settings give"
    )
    assert remote_api.metric("salespulse_pool_limit", server="primary") == 2
    assert remote_api.metric("salespulse_pool_size", server="replica") <= 4


def test_nothing_is_lost_when_it_is_killed_again_and_again(remote_api: Api, shop: Shop) -> None:
    """Whatever it had begun is made by the serving process."""
    token = token_for(shop.tenant)
    killed: set[int] = set()
    is_over = threading.Event()

    def kill() -> None:
        while not is_over.is_set():
            pid = builder_of(remote_api).pid
            if pid is not None and pid not in killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            is_over.wait(0.01)

    def ask(day: str) -> dict[str, Any]:
        with remote_api.client(token) as client:
            answer = client.get("/api/dashboard/sales-summary", params={"to": day}, timeout=120)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    with ThreadPoolExecutor(24) as threads:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            for first in range(40):
                # Each round asks what nobody has asked before.
                days = [(LAST_DAY - timedelta(days=number)).isoformat() for number in range(first, 400, 40)]
                documents = list(threads.map(ask, days))
                assert [document["period"]["to"] for document in documents] == days
            wait_until(lambda: len(killed) >= 2, timeout_s=60, what="two of them to be killed", every_s=0.05)
        finally:
            is_over.set()
            killer.join()
    assert len(killed) >= 2
    wait_until(lambda: builder_of(remote_api).pid is not None, timeout_s=60, what="a successor", every_s=0.05)
    assert all(not psutil.pid_exists(pid) for pid in killed), "those that were killed are buried"


def test_one_that_hangs_is_replaced(
    api_settings: Callable[..., Settings], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_SILENCE_MAX_S", 1.0)
    monkeypatch.setattr(remote, "_CHECK_EVERY_S", 0.2)
    monkeypatch.setattr(remote, "_EXIT_GRACE_S", 0.5)
    with serve(api_settings(dashboard_maker=True)) as api:
        hanging = builder_of(api).pid
        assert hanging is not None
        os.kill(hanging, signal.SIGSTOP)
        answer = api.client(token_for(shop.tenant)).get("/api/dashboard/overview", timeout=60)
        assert answer.status_code == 200
        wait_until(lambda: builder_of(api).pid not in {None, hanging}, timeout_s=60, what="a successor", every_s=0.05)
        assert not psutil.pid_exists(hanging)


def test_one_that_cannot_be_started_is_tried_again(
    api_settings: Callable[..., Settings], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start, start = threading.Event(), subprocess.Popen

    def refuse(*arguments: Any, **options: Any) -> Any:
        if not may_start.is_set():
            raise OSError("no memory")
        return start(*arguments, **options)

    monkeypatch.setattr(remote, "_START_TIMEOUT_S", 0.1)
    monkeypatch.setattr(remote.subprocess, "Popen", refuse)
    with serve(api_settings(dashboard_maker=True)) as api:
        assert builder_of(api).pid is None
        assert api.client(token_for(shop.tenant)).get("/api/dashboard/overview", timeout=60).status_code == 200
        may_start.set()
        wait_until(lambda: builder_of(api).pid is not None, timeout_s=60, what="the process", every_s=0.05)


def test_it_does_not_outlive_the_process_that_serves(
    api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path
) -> None:
    del shop
    for number in (signal.SIGKILL, signal.SIGTERM):
        port = api_process.free_port()
        process = api_process.run(api_process.environment(api_settings(dashboard_maker=True), port), tmp_path)
        try:
            url = f"http://127.0.0.1:{port}/healthz"
            wait_until(lambda: api_process.answers(url), timeout_s=60, what="the API", every_s=0.1)  # noqa: B023
            (maker,) = psutil.Process(process.pid).children()
            assert "dashboard_api.report_process.process" in maker.cmdline()
            maker.send_signal(signal.SIGINT)
            maker.send_signal(signal.SIGTERM)
            process.send_signal(number)
            process.wait(60)
            wait_until(lambda: not maker.is_running(), timeout_s=30, what="its end", every_s=0.05)  # noqa: B023
        finally:
            process.kill()
            process.communicate()


def test_a_pool_of_one_is_not_shared(api_settings: Callable[..., Settings]) -> None:
    assert api_settings(dashboard_maker=True).has_maker
    assert not api_settings(dashboard_maker=True, dashboard_pool_size=1).has_maker
    assert not api_settings(dashboard_maker=True, dashboard_fallback_pool_size=1).has_maker
    assert api_settings(dashboard_maker=True, dashboard_fallback_pool_size=1, dashboard_fallback_url=None).has_maker


@pytest.mark.parametrize(
    "error",
    [
        NotReadyError("not yet", retry_after_s=7),
        StoreNotFoundError("no store 'x'"),
        InvalidParameterError("from", "is wrong"),
        UnauthenticatedError("who?"),
        NoFreshServerError("none", retry_after_s=3.5),
        psycopg.errors.QueryCanceled("took too long"),
        psycopg.OperationalError("gone"),
    ],
)
def test_errors_survive_the_way(error: Exception) -> None:
    restored = pickle.loads(pickle.dumps(PickledError(error))).error()  # noqa: S301
    assert type(restored) is type(error)
    assert (str(restored), restored.args) == (str(error), error.args)
    if not isinstance(error, psycopg.Error):
        assert vars(restored) == vars(error)


@given(items=st.lists(st.tuples(st.integers(0, 99), st.binary(max_size=300))), cuts=st.lists(st.integers(1, 400)))
async def test_frames_come_whole_however_they_are_cut(items: list[tuple[int, bytes]], cuts: list[int]) -> None:
    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.written = bytearray()

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.written += data

    received: list[tuple[int, object]] = []
    sender, transport = Frames(lambda *_: None, lambda: None), Transport()
    sender.connection_made(transport)
    for number, item in items:
        sender.send(number, item)
    receiver = Frames(lambda number, item: received.append((number, item)), lambda: None)
    data, place = bytes(transport.written), 0
    for cut in (*cuts, len(data) or 1):
        receiver.data_received(data[place : place + cut])
        place += cut
    assert received == items


def test_a_client_that_leaves_takes_nothing_from_the_others(remote_api: Api, shop: Shop) -> None:
    token = token_for(shop.tenant)

    async def leave_and_stay() -> list[int]:
        async with httpx.AsyncClient(
            base_url=remote_api.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        ) as client:
            params = [{"to": (LAST_DAY - timedelta(days=number)).isoformat()} for number in range(250, 290)]
            tasks = [
                asyncio.create_task(client.get("/api/dashboard/top-customers", params=each)) for each in params * 2
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks[: len(params) // 2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            return [answer.status_code for answer in done if isinstance(answer, httpx.Response)]

    statuses = asyncio.run(leave_and_stay())
    assert len(statuses) >= 40
    assert set(statuses) == {200}
