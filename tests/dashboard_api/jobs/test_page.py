"""The jobs page in a real browser: jobs are seen as they go, started, cancelled; nothing is loaded from elsewhere."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from background_jobs.store import JobState
from tests.dashboard_api.browser import CHROMIUM, CONTRAST, DESKTOP, PHONE, Visit, keep_screenshot
from tests.dashboard_api.jobs.conftest import WEBSERVER, MakeSettings
from tests.dashboard_api.jobs.test_results import CONTENT, export
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, serve, token_for

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: tests/install-debian-packages has it")
Begin = Callable[..., Visit]


def opened(visit: Visit, tenant: str, path: str = "/jobs", **claims: Any) -> Page:
    page = visit.open(token_for(tenant, **claims), path)
    expect(page.locator("#fresh-text")).to_have_text("Live")
    return page


def row(page: Page, job_id: str) -> Locator:
    return page.locator(f".job[data-id='{job_id}']")


def test_progress_is_seen_as_it_is_made(visit: Begin, worker: Worker, tenant: str) -> None:
    page = opened(visit(), tenant)
    expect(page.locator("#none")).to_contain_text("No jobs yet")
    job = worker.submit(tenant, "refresh_sales_summary")
    job_row = row(page, job.id)
    expect(job_row.locator(".chip")).to_have_text("Queued")
    attempt = worker.start(job.id)
    expect(job_row.locator(".chip")).to_have_text("Running")
    assert job_row.locator("progress").get_attribute("value") is None, "how far is not known yet"
    page.evaluate("(id) => { window.row = document.querySelector(`[data-id='${id}']`); }", job.id)
    for percent in (7, 50, 99):
        worker.store.report(job.id, attempt, percent=percent, step="applying", message=f"{percent} of 100 sales")
        expect(job_row.locator(".message")).to_have_text(f"{percent} % · applying · {percent} of 100 sales")
        assert job_row.locator("progress").get_attribute("value") == str(percent)
    worker.store.succeed(job.id, attempt)
    expect(job_row.locator(".chip")).to_have_text("Done")
    expect(job_row.locator("progress")).to_have_count(0)
    expect(job_row.locator(".when")).to_have_text(re.compile(r"^[\d.]+ s · \d+ s ago$"))
    assert page.evaluate("() => window.row.isConnected"), "the same element, changed in place"


def test_a_job_is_started_and_cancelled(visit: Begin, worker: Worker, tenant: str) -> None:
    page = opened(visit(), tenant)
    page.get_by_label("Kind").select_option("hello_world")
    page.get_by_label("Steps", exact=True).fill("3")
    page.get_by_role("button", name="Start", exact=True).click()
    job_row = page.locator(".job")
    expect(job_row).to_have_count(1)
    [job] = worker.store.list(tenant).jobs
    assert (job.kind, job.params["steps"], job.params["fail"]) == ("hello_world", 3, False)
    worker.start(job.id)
    expect(job_row.locator(".chip")).to_have_text("Running")
    page.get_by_role("button", name="Cancel Hello world").click()
    expect(job_row.locator(".chip")).to_have_text("Canceling")
    expect(job_row.locator(".stop")).to_be_disabled()
    assert worker.job(job.id).state is JobState.CANCELING
    worker.store.end_canceled(job.id, 1)
    expect(job_row.locator(".chip")).to_have_text("Canceled")


def test_what_can_not_be_used_is_said_beside_its_field(visit: Begin, worker: Worker, tenant: str) -> None:
    page = opened(visit(), tenant)
    page.get_by_label("Kind").select_option("hello_world")
    steps = page.get_by_label("Steps", exact=True)
    steps.fill("0")
    steps.press("Enter")
    expect(page.locator("#wrong-steps")).to_contain_text("greater than or equal to 1")
    expect(steps).to_have_attribute("aria-invalid", "true")
    expect(steps).to_be_focused()
    page.get_by_label("Kind").select_option("export_sales_report")
    page.get_by_label("From date").fill("2011-12-01")
    page.get_by_label("To date").fill("2011-11-01")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#start-wrong")).to_contain_text("is before")
    assert worker.store.list(tenant).jobs == []


def test_details_tell_what_happened(visit: Begin, api: Api, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant, "refresh_sales_summary", subject="ann")
    attempt = worker.start(job.id)
    worker.store.report(job.id, attempt, percent=40, step="reading", counts={"sales": 1234})
    page = opened(visit(), tenant)
    row(page, job.id).get_by_role("button", name="Refresh sales summary", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("#d-events li")).to_have_count(4)
    expect(dialog).to_contain_text("by ann")
    expect(dialog).to_contain_text("1,234 sales")
    link = dialog.get_by_role("link", name="Run in Dagster")
    expect(link).to_have_attribute("href", f"{WEBSERVER}/runs/{worker.job(job.id).run_id}")
    assert f"job={job.id}" in page.url
    worker.store.report(job.id, attempt, percent=80, step="applying")
    expect(dialog.locator("#d-events li")).to_have_count(5)
    expect(dialog.locator("#d-events li").first).to_contain_text("applying")
    worker.store.fail(job.id, attempt, "STEP_FAILURE", "a column is gone", may_retry=False)
    expect(dialog.locator("#d-message")).to_have_text("STEP_FAILURE: a column is gone")
    expect(dialog.locator("#d-cancel")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/jobs$"))


def test_an_export_is_downloaded(visit: Begin, api: Api, worker: Worker, tenant: str) -> None:
    job = export(worker, api, tenant)
    page = opened(visit(), tenant, f"/jobs?job={job.id}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download sales-stores-2011-11-01-2011-11-30.csv").click()
    assert Path(download.value.path()).read_bytes() == CONTENT


def test_lists_are_narrowed_and_go_back(visit: Begin, worker: Worker, tenant: str) -> None:
    job_ids = [worker.submit(tenant).id for _ in range(60)]
    worker.store.cancel(job_ids[3])
    page = opened(visit(), tenant)
    expect(page.locator(".job")).to_have_count(50)
    page.get_by_role("button", name="Older jobs").click()
    expect(page.locator(".job")).to_have_count(60)
    expect(page.get_by_role("button", name="Older jobs")).to_be_hidden()
    page.get_by_role("button", name="Failed").click()
    expect(page.locator(".job")).to_have_count(1)
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#none")).to_have_text("No matching jobs.")


def test_the_two_pages_lead_to_each_other(visit: Begin, tenant: str) -> None:
    page = opened(visit(), tenant)
    page.get_by_role("navigation").get_by_role("link", name="Sales").click()
    # There are no figures of this tenant yet; that is no reason to send anybody away.
    expect(page.get_by_role("heading", name="This account can't see the dashboard")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Jobs").click()
    expect(page.locator("#fresh-text")).to_have_text("Live")


def test_who_may_not_is_told(visit: Begin, worker: Worker, tenant: str) -> None:
    page = visit().open(None, "/jobs")
    expect(page.get_by_role("heading", name="Background jobs")).to_be_visible()
    page.get_by_label("Access token").fill(token_for(tenant))
    page.get_by_role("button", name="Show the jobs").press("Enter")
    expect(page.locator("#fresh-text")).to_have_text("Live")
    ended = visit().open(token_for(tenant, valid_s=-60), "/jobs")
    expect(ended.get_by_role("heading", name="Your session has ended")).to_be_visible()
    job = worker.submit(tenant, "export_sales_report")
    page = opened(visit(), tenant, role="viewer")
    expect(row(page, job.id)).to_be_visible()
    expect(row(page, job.id).locator(".stop")).to_be_hidden()
    assert "export_sales_report" not in page.locator("#kind").inner_html()


def test_429_is_shown_kindly_and_ends_by_itself(
    visit: Begin, job_settings: MakeSettings, worker: Worker, tenant: str, tmp_path: Path
) -> None:
    policies = tmp_path / "policies.toml"
    policies.write_text('[policies.default]\nlimits = ["6/5s fixed"]\n')
    with serve(job_settings(ratelimit_policies=policies)) as tight:
        page = opened(visit(of=tight), tenant, subject="impatient")
        notice = page.locator("#notice")
        # The limit's window may end meanwhile: one goes on until it is met.
        for name in ("Live", "Done", "Failed", "All") * 10:
            page.get_by_role("button", name=name, exact=True).click()
            if notice.is_visible():
                break
        expect(notice).to_contain_text("One moment, please.")
        expect(notice).to_be_hidden(timeout=60_000)
        page.close()


def test_a_lost_connection_is_said_and_made_up_for(visit: Begin, worker: Worker, tenant: str) -> None:
    here = visit()
    page = opened(here, tenant)
    here.context.set_offline(True)
    page.get_by_role("button", name="Live", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("No connection.")
    job = worker.submit(tenant)
    worker.finish(job.id)
    here.context.set_offline(False)
    page.get_by_role("button", name="All", exact=True).click()
    expect(row(page, job.id).locator(".chip")).to_have_text("Done")
    expect(page.get_by_role("alert").first).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(
    visit: Begin, worker: Worker, tenant: str, scheme: str, device: dict[str, Any]
) -> None:
    for state in JobState:
        worker.bring_to(state, worker.submit(tenant, "refresh_sales_summary", max_attempts=3).id)
    page = opened(visit(color_scheme=scheme, **device), tenant)
    expect(page.locator(".job")).to_have_count(len(JobState))
    name = f"jobs-{'phone' if device is PHONE else 'desktop'}-{scheme}"
    for part in ("list", "details"):
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing scrolls sideways"
        assert page.evaluate(CONTRAST) == [], "text stands out from its ground (WCAG AA, 4.5 to 1)"
        keep_screenshot(page, f"{name}-{part}")
        if part == "list":
            page.locator(".job[data-state=failed] .open").click()
            expect(page.locator("#d-events li")).to_have_count(4)


def test_it_is_usable_with_the_keyboard_alone(visit: Begin, worker: Worker, tenant: str) -> None:
    worker.submit(tenant)
    page = opened(visit(), tenant)
    expect(page.locator(".job")).to_have_count(1)
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the jobs"
    page.keyboard.press("Enter")
    focused = []
    for _ in range(12):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))
    for expected in ("kind", "start-button", "All", "Failed", "Hello world", "Cancel"):
        assert expected in focused, focused
    page.get_by_role("button", name="Hello world", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Hello world", exact=True)).to_be_focused()
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
