"""The smallest background job: counts, reports, greets."""

import time
from typing import Any

import dagster as dg
from pydantic import Field

from background_jobs.kinds.hello_world import HelloWorld
from pipelines.resources import JobReporter

# A step is waited out in pieces, so that a job that is canceled ends soon.
_PIECE_S = 0.1


class HelloConfig(dg.Config):
    """The parameters of the kind `hello_world`; its own defaults where they are left out."""

    params: dict[str, Any] = Field(default_factory=dict)


@dg.op
def say_hello(context: dg.OpExecutionContext, config: HelloConfig, jobs: JobReporter) -> None:
    """Take the steps that were asked for, and report each."""
    asked = HelloWorld.model_validate(config.params)
    with jobs.open(context) as reporter:
        for step in range(1, asked.steps + 1):
            ends_at = time.monotonic() + asked.step_seconds
            while (left_s := ends_at - time.monotonic()) > 0:
                reporter.raise_if_canceled()
                time.sleep(min(left_s, _PIECE_S))
            if asked.fail and step == asked.steps:
                raise dg.Failure(f"failed at step {step} of {asked.steps}, as was asked for", allow_retries=False)
            reporter.progress(
                100 * step / asked.steps,
                step=f"step {step}",
                message=f"step {step} of {asked.steps}",
                counts={"steps": step},
            )
        reporter.result({"greeting": f"Hello, {asked.name}!"})
