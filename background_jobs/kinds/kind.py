"""What a kind of job is: its parameters, who may ask for it, its limits, and the Dagster job that does the work."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from background_jobs.kinds.errors import ParameterError, ParameterProblem
from background_jobs.store import Deadlines, Submission

# Of whoever runs the installation, for work over all tenants; an application gives it to no tenant's users.
OPERATOR = "operator"
# Everybody's: what the schedule and the sensor ask for.
SYSTEM_TENANT = ""


class Parameters(BaseModel):
    """The parameters of a kind. A name that is not one is refused, and so is a value that would have to be guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def op_config(self, tenant: str) -> dict[str, Any]:
        """Give the configuration of the op that does the work; the parameters as they are unless a kind says otherwise.

        Args:
            tenant: whose job it is; "" for the system's own.
        """
        del tenant
        # Dagster takes no null within a dictionary.
        return {"params": self.model_dump(mode="json", exclude_none=True)}


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    Attributes:
        name: in the API, the metrics and the command line.
        description: one sentence, for lists.
        params: the model that its parameters must fit.
        job_name: of the Dagster job that does the work.
        op_name: the op of it that takes the parameters.
        roles: who of a tenant may ask for it over HTTP; a token's role must be one of them.
        max_attempts: how often it is begun at most, where a worker was lost or a run did not start.
        retry_delay_s: between two attempts, in seconds.
        deadlines: of each live state.
        coalesces: whether a request joins one that waits already with the same parameters, unless it says otherwise.
        needs_tenant: whether it makes no sense without one.
        most_at_a_time: runs of this kind in flight, over all tenants; None: no limit of its own.
    """

    name: str
    description: str
    params: type[Parameters]
    job_name: str
    op_name: str
    roles: tuple[str, ...] = ("owner", "manager", OPERATOR)
    max_attempts: int = 3
    retry_delay_s: float = 2.0
    deadlines: Deadlines = field(default_factory=Deadlines)
    coalesces: bool = False
    needs_tenant: bool = False
    most_at_a_time: int | None = None

    @property
    def is_for_operators(self) -> bool:
        """Whether only an operator may ask for it over HTTP: it works over all tenants."""
        return self.roles == (OPERATOR,)

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Give the parameters in full, with their defaults, as JSON has them.

        Raises:
            ParameterError: names each field that does not fit.
        """
        return self.parse(params).model_dump(mode="json")

    def parse(self, params: Mapping[str, Any]) -> Parameters:
        """Give the parameters as their model.

        Raises:
            ParameterError: names each field that does not fit.
        """
        try:
            return self.params.model_validate(dict(params))
        except ValidationError as error:
            raise ParameterError(self.name, [_problem(item) for item in error.errors()]) from None

    def run_config(self, tenant: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Give the configuration of the Dagster run.

        Raises:
            ParameterError: names each field that does not fit.
        """
        return {"ops": {self.op_name: {"config": self.parse(params).op_config(tenant)}}}

    def submission(
        self,
        *,
        tenant: str,
        subject: str = "",
        params: Mapping[str, Any] | Parameters | None = None,
        coalesce: bool | None = None,
        **options: Any,
    ) -> Submission:
        """Give what `JobStore.submit` takes.

        Args:
            tenant: the application's id of the tenant; "" for the system's own jobs.
            subject: who asks, for the record.
            params: validated here, unless they are the model already.
            coalesce: join a job with the same parameters that has not started; the kind decides unless given.
            options: further fields of `Submission`: `id`, `priority`, `delay_s`, `idempotency_key`, `fingerprint`,
                `deadlines`, …

        Raises:
            ParameterError: a parameter does not fit, or the kind needs a tenant.
        """
        if self.needs_tenant and tenant == SYSTEM_TENANT:
            raise ParameterError(self.name, [ParameterProblem("tenant", "this kind is for one tenant: name it")])
        full = params.model_dump(mode="json") if isinstance(params, Parameters) else self.validate(params or {})
        coalesces = self.coalesces if coalesce is None else coalesce
        given: dict[str, Any] = {
            "deadlines": self.deadlines,
            "max_attempts": self.max_attempts,
            "retry_delay_s": self.retry_delay_s,
            "coalesce_key": _key_of(full) if coalesces else None,
        }
        return Submission(kind=self.name, tenant=tenant, subject=subject, params=full, **(given | options))


def _key_of(params: Mapping[str, Any]) -> str:
    """Requests with equal parameters have equal keys."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:32]


def _problem(item: Any) -> ParameterProblem:
    field = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return ParameterProblem(field, "there is no such parameter")
    if item["type"] == "missing":
        return ParameterProblem(field, "must be given")
    return ParameterProblem(field, f"{message[:1].lower()}{message[1:]}")
