"""docs/jobs-api.md and the README's example, typed as they stand: by bash and curl, while somebody does the jobs."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from background_jobs.store import Caps
from dashboard_api import errors
from dashboard_api.errors import ProblemError
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, token_for
from tests.docs.pages import read_page

PAGE = read_page("docs/jobs-api.md")
DASHBOARD_PAGE = read_page("docs/dashboard-api.md")
README = read_page("README.md")
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")


@pytest.fixture
def _busy(worker: Worker, api: Api, tenant: str) -> Iterator[None]:
    """Does every job that the tenant asks for, with progress."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            for claim in worker.store.claim(limit=100, caps=Caps(per_tenant=1_000)):
                job = claim.job
                if job.tenant != tenant:
                    continue
                worker.store.started(job.id, claim.attempt)
                for percent in (25, 50, 75, 100):
                    worker.store.report(job.id, claim.attempt, percent=percent, step="working")
                result = None
                if job.kind == "export_sales_report":
                    name = f"{job.id}.{job.params['format']}"
                    (api.services.settings.exports / name).write_bytes(b"business_date\r\n")
                    expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
                    result = {
                        "file": name,
                        "bytes": 15,
                        "rows": 0,
                        "format": job.params["format"],
                        "expires_at": expires_at,
                    }
                worker.store.succeed(job.id, claim.attempt, result=result)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def run_shell(text: str, api: Api, tenant: str) -> str:
    """What a shell prints."""
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", text],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "API": api.url, "TOKEN": token_for(tenant)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("_busy")
def test_the_examples_run(api: Api, tenant: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    submit, idempotent, wait, status, follow, cancel, fetch = blocks
    assert json.loads(run_shell(submit, api, tenant))["state"] == "queued"
    assert json.loads(run_shell(idempotent, api, tenant))["id"] == json.loads(run_shell(idempotent, api, tenant))["id"]
    assert json.loads(run_shell(wait, api, tenant))["state"] == "succeeded"
    stream = run_shell(status + follow, api, tenant).partition("retry: ")[2]
    assert stream.index("event: state") < stream.index('"percent":50.0') < stream.index('"state":"succeeded"')
    event = json.loads(re.findall(r"^data: (.*)$", PAGE, re.MULTILINE)[0])
    assert set(event) == set(json.loads(re.findall(r"^data: (.*)$", stream, re.MULTILINE)[0]))
    assert "409" in run_shell(status + follow + cancel.replace("-sS", "-sS -w '%{http_code}'"), api, tenant)
    result = json.loads(run_shell(fetch, api, tenant))
    assert run_shell(f'curl -sS "$API{result["file"]["url"]}"', api, tenant) == "business_date\n"


@pytest.mark.usefixtures("_busy")
def test_the_readmes_two_curls(api: Api, tenant: str) -> None:
    [block] = [
        text for text in re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL) if "/events" in text
    ]
    lines = [line for line in block.splitlines() if not line.startswith("TOKEN=")]
    assert len(lines) == 2
    stream = run_shell("\n".join(lines).replace("http://127.0.0.1:8400", "$API"), api, tenant)
    assert '"kind":"refresh_sales_summary"' in stream
    assert '"percent":100.0' in stream
    assert stream.rstrip().splitlines()[-1].count('"state":"succeeded"') == 1


def test_every_refusal_is_described() -> None:
    own = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, ProblemError) and value is not ProblemError
    ]
    assert own
    for error in own:
        assert f"`/problems/{error.kind}`" in PAGE + DASHBOARD_PAGE, error
