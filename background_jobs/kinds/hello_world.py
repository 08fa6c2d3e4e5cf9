"""The kind `hello_world`: the smallest job, for trying out the whole path."""

from typing import Self

from pydantic import Field, model_validator

from background_jobs.kinds import OPERATOR, Parameters, job_kind
from background_jobs.store import Deadlines


@job_kind(
    "hello_world",
    job_name="hello_world_job",
    op_name="say_hello",
    roles=("owner", "manager", "viewer", OPERATOR),
    deadlines=Deadlines(run_s=900),
)
class HelloWorld(Parameters):
    """Counts to a number and greets: the smallest job, for trying the path."""

    name: str = Field("world", min_length=1, max_length=200, description="whom to greet")
    steps: int = Field(5, ge=1, le=10_000, description="number of steps")
    step_seconds: float = Field(0.2, ge=0, le=60, description="seconds per step")
    fail: bool = Field(default=False, description="fail at the last step")

    @model_validator(mode="after")
    def _check_duration(self) -> Self:
        if self.steps * self.step_seconds > 600:
            message = "steps times step_seconds must be 600 seconds at most"
            raise ValueError(message)
        return self
