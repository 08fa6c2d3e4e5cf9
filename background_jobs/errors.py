"""The errors of background jobs, except the job store's own (`background_jobs.store`).

No message about webhooks contains a secret, or a URL, since a URL may carry one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dbconnect.errors import SalespulseError, UnavailableError


class KindError(SalespulseError):
    """A job can't be submitted: its kind or its parameters are wrong."""


class UnknownKindError(KindError):
    """There is no such kind of job."""


class KindDefinitionError(KindError):
    """A module of `background_jobs.kinds` defines a kind incorrectly."""


@dataclass(frozen=True)
class ParameterProblem:
    """One invalid parameter.

    Attributes:
        field: its name, dotted where nested; empty where parameters contradict each other.
        message: what is wrong, and what is allowed.
    """

    field: str
    message: str


class JobParameterError(KindError):
    """A kind rejects the parameters.

    Attributes:
        problems: every invalid parameter.
    """

    def __init__(self, kind: str, problems: Sequence[ParameterProblem]) -> None:
        self.problems = tuple(problems)
        details = "; ".join(f"{item.field}: {item.message}" if item.field else item.message for item in problems)
        super().__init__(f"{kind}: {details}")


class ExportError(SalespulseError):
    """The report can't be exported; the message says what to change."""


class DagsterUnavailableError(UnavailableError):
    """Dagster's code server or storage does not answer: the job waits and shows why."""


class RunRefusedError(SalespulseError):
    """Dagster will never accept this run: no such job, or an invalid configuration."""


class WebhookError(Exception):
    """The base of errors in signing and sending webhooks."""


class SecretError(WebhookError, ValueError):
    """A signing secret is not `whsec_` followed by 24 to 64 bytes in base64."""


class InvalidSignatureError(WebhookError):
    """A webhook's signature is missing, malformed, too old, or not by a holder of the secret."""


class TargetError(WebhookError, ValueError):
    """A webhook's URL is invalid, or leads to an address that webhooks may not reach."""


class WebhookUsageError(SalespulseError):
    """An endpoint, delivery or hook does not exist or can't be created; the message says why."""
