"""The job kind `hello_world`, the smallest one: counts, reports, greets."""

import time
from typing import Any

import dagster as dg
from pydantic import Field

from background_jobs.kinds.hello_world import HelloWorld
from pipelines.resources import JobReporter

# Waits in slices, so that a canceled job ends soon.
_SLICE_S = 0.1


class HelloConfig(dg.Config):
    """The parameters of the kind `hello_world`; its own defaults where they are left out."""

    params: dict[str, Any] = Field(default_factory=dict)


@dg.op
def say_hello(context: dg.OpExecutionContext, config: HelloConfig, jobs: JobReporter) -> None:
    """Take the requested steps, and report each."""
    request = HelloWorld.model_validate(config.params)
    with jobs.open(context) as reporter:
        for step in range(1, request.steps + 1):
            ends_at = time.monotonic() + request.step_seconds
            while (left_s := ends_at - time.monotonic()) > 0:
                reporter.raise_if_canceled()
                time.sleep(min(left_s, _SLICE_S))
            if request.fail and step == request.steps:
                raise dg.Failure(f"failed at step {step} of {request.steps}, as requested", allow_retries=False)
            reporter.progress(
                100 * step / request.steps,
                step=f"step {step}",
                message=f"step {step} of {request.steps}",
                counts={"steps": step},
            )
        reporter.result({"greeting": f"Hello, {request.name}!"})
