"""docs/howto/add-a-job.md, followed to the letter in a copy of the packages."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.refresh import RefreshResult
from sample_app.synthetic import generate
from tests.docs.pages import ROOT, Reader, read_page, titled_blocks
from tests.warehouse import Installation, one

PAGE = read_page("docs/howto/add-a-job.md")

_RUN = """
import json, sys
import dagster as dg
from pipelines.definitions import defs
from background_jobs.kinds import get_kind

kind = get_kind("count_stores")
submission = kind.submission(tenant=sys.argv[1], params={"at_least": int(sys.argv[2])})
with dg.DagsterInstance.ephemeral() as instance:
    done = defs.resolve_job_def(kind.job_name).execute_in_process(
        instance=instance,
        run_config=kind.run_config(submission.tenant, submission.params),
        tags={"salespulse/job_id": submission.id},
        raise_on_error=False,
    )
    run = instance.get_run_by_id(done.run_id)
    failure = [each.event_specific_data.user_failure_data.description for each in done.get_step_failure_events()]
    print(json.dumps({"result": run.tags.get("salespulse/job_result"), "failure": failure}))
"""


@pytest.fixture
def reader(installation: Installation, tmp_path: Path) -> Reader:
    """Somebody with a copy of `background_jobs` and `pipelines` that has the page's files, and its job among the others."""
    for package in ("background_jobs", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = titled_blocks(PAGE)
    assert set(blocks) == {"background_jobs/kinds/count_stores.py", "pipelines/ops/count_stores.py"}
    for title, text in blocks.items():
        (tmp_path / title).write_text(text, encoding="utf-8")
    jobs = tmp_path / "pipelines" / "jobs.py"
    text = jobs.read_text(encoding="utf-8")
    assert "\nJOBS = (\n" in text
    jobs.write_text(
        "from pipelines.ops.count_stores import count_stores_job\n".join(text.split("import dagster as dg\n", 1))
        .replace("from pipelines.ops.count_stores", "import dagster as dg\n\nfrom pipelines.ops.count_stores", 1)
        .replace("\nJOBS = (\n", "\nJOBS = (\n    count_stores_job,\n"),
        encoding="utf-8",
    )
    return Reader(installation, tmp_path, has_packages=True)


def test_the_page_adds_a_kind_that_works(
    installation: Installation, refreshed: Callable[..., RefreshResult], reader: Reader
) -> None:
    generate(installation.admin(), tenants=2, sales=60, days=10, stores=3)
    refreshed()
    assert "count_stores: Counts a tenant's stores." in reader.types(["jobs", "kinds"])
    schema = reader.reads(["jobs", "kinds"])["count_stores"]
    assert schema["properties"]["at_least"]["description"] == "fail where there are fewer"
    tenant = one(installation.admin(), "SELECT min(tenant_id) FROM salespulse.dim_tenant")
    done = json.loads(reader.python(_RUN, tenant, "1").splitlines()[-1])
    assert json.loads(done["result"]) == {"stores": 3}
    rejection = json.loads(reader.python(_RUN, tenant, "9").splitlines()[-1])
    assert rejection == {"result": None, "failure": ["3 stores, fewer than 9"]}
    # The command of the page gets as far as a place without Redis lets it.
    with pytest.raises(AssertionError, match="SALESPULSE_REDIS_URL is not set"):
        reader.types(["jobs", "submit", "count_stores", "--tenant", tenant, "--param", "at_least=1", "--watch"])
