"""Define a kind of job: its parameters, its roles, its limits, and the Dagster job that does the work.

The kinds themselves are the other modules of this package.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from background_jobs.errors import JobParameterError, KindDefinitionError, ParameterProblem, UnknownKindError
from background_jobs.store import Deadlines, Submission
from dbsql import FIRST_DATE, LAST_DATE

# The role of whoever runs the installation, for work over all tenants: no tenant's user may have it.
OPERATOR = "operator"
# The tenant of jobs for all tenants, such as those that the schedule and the sensor submit.
SYSTEM_TENANT = ""


class Parameters(BaseModel):
    """The parameters of a kind. Unknown names are rejected, and so are values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def op_config(self, tenant: str) -> dict[str, Any]:
        """Return the configuration of the op that does the work: `{"params": …}`, unless a kind overrides this.

        Args:
            tenant: the job's tenant; "" for the system's own jobs.
        """
        del tenant
        # Dagster accepts no null within a dictionary.
        return {"params": self.model_dump(mode="json", exclude_none=True)}


class DateRangeParameters(Parameters):
    """Business dates, both inclusive; None leaves the range open at that end."""

    from_date: date | None = Field(None, ge=FIRST_DATE, le=LAST_DATE, description="first business date (2026-03-01)")
    to_date: date | None = Field(None, ge=FIRST_DATE, le=LAST_DATE, description="last business date, inclusive")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.from_date is not None and self.to_date is not None and self.to_date < self.from_date:
            message = f"to_date {self.to_date} is before from_date {self.from_date}"
            raise ValueError(message)
        return self


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    Attributes:
        name: in the API, the metrics and the command line.
        description: one sentence, for lists.
        params: the model that validates the parameters.
        job_name: the Dagster job that does the work.
        op_name: the op of that job whose configuration holds the parameters.
        roles: the roles of a token that may submit it over HTTP.
        max_attempts: runs in all, where a worker was lost or a run did not start.
        retry_delay_s: seconds between two attempts.
        deadlines: the longest time in each live state.
        coalesces: whether a submission joins a waiting job with the same parameters by default.
        needs_tenant: whether a tenant is required.
        max_in_flight: concurrent runs of this kind over all tenants; None for no limit of its own.
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
    max_in_flight: int | None = None

    @property
    def is_for_operators(self) -> bool:
        """Whether only an operator may submit it over HTTP, because it works over all tenants."""
        return self.roles == (OPERATOR,)

    def parse(self, params: Mapping[str, Any]) -> Parameters:
        """Return the validated parameters.

        Raises:
            JobParameterError: names each invalid field.
        """
        try:
            return self.params.model_validate(dict(params))
        except ValidationError as error:
            raise JobParameterError(self.name, [_problem(item) for item in error.errors()]) from None

    def run_config(self, tenant: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration of the Dagster run.

        Raises:
            JobParameterError: names each invalid field.
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
        """Return the argument of `JobStore.submit` for a job of this kind.

        Args:
            tenant: the application's tenant id; "" for the system's own jobs.
            subject: who submits it, for the record.
            params: validated here unless they already are the model.
            coalesce: whether to join a waiting job with the same parameters; None for the kind's default.
            options: further fields of `Submission`: `id`, `priority`, `delay_s`, `idempotency_key`, `fingerprint`,
                `deadlines`, …

        Raises:
            JobParameterError: a parameter is invalid, or the kind needs a tenant.
        """
        if self.needs_tenant and tenant == SYSTEM_TENANT:
            raise JobParameterError(self.name, [ParameterProblem("tenant", "this kind needs a tenant: name one")])
        model = params if isinstance(params, Parameters) else self.parse(params or {})
        values = model.model_dump(mode="json")
        coalesces = self.coalesces if coalesce is None else coalesce
        defaults: dict[str, Any] = {
            "deadlines": self.deadlines,
            "max_attempts": self.max_attempts,
            "retry_delay_s": self.retry_delay_s,
            "coalesce_key": _coalesce_key(values) if coalesces else None,
        }
        return Submission(kind=self.name, tenant=tenant, subject=subject, params=values, **(defaults | options))


def _coalesce_key(params: Mapping[str, Any]) -> str:
    """Return the same key for equal parameters."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:32]


def _problem(item: Any) -> ParameterProblem:
    path = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return ParameterProblem(path, "unknown parameter")
    if item["type"] == "missing":
        return ParameterProblem(path, "required")
    return ParameterProblem(path, f"{message[:1].lower()}{message[1:]}")


# Every kind by its name; the package imports the modules that fill it.
KINDS: dict[str, JobKind] = {}

ModelT = TypeVar("ModelT", bound=type[Parameters])


def job_kind(name: str, *, job_name: str, op_name: str, **options: Any) -> Callable[[ModelT], ModelT]:
    """Register a subclass of `Parameters` as a kind of job; the first line of its docstring is the description.

    Args:
        name: in the API, the metrics and the command line.
        job_name: the Dagster job that does the work.
        op_name: the op of that job whose configuration holds the parameters.
        options: further fields of `JobKind`.

    Raises:
        KindDefinitionError: the class is no subclass of `Parameters` or has no docstring, or the name is taken.
    """

    def decorate(model: ModelT) -> ModelT:
        if not issubclass(model, Parameters):
            raise KindDefinitionError(f"{name}: {model.__name__} must be a subclass of Parameters")
        description = (model.__doc__ or "").strip().partition("\n")[0]
        if not description:
            raise KindDefinitionError(f"{name}: the docstring of {model.__name__} must describe the job in one line")
        if name in KINDS:
            raise KindDefinitionError(f"two kinds are called {name}: rename one")
        KINDS[name] = JobKind(
            name=name, description=description, params=model, job_name=job_name, op_name=op_name, **options
        )
        return model

    return decorate


def get_kind(name: str) -> JobKind:
    """Return a kind by its name.

    Raises:
        UnknownKindError: no kind has this name; the message lists all names.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKindError(f"there is no job kind {name!r}: choose one of {', '.join(KINDS)}") from None
