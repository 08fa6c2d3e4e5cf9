"""What can be wrong with a kind, or with what somebody asks of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from dbconnect.errors import SalespulseError


class KindError(SalespulseError):
    """A job can't be asked for like this."""


class UnknownKindError(KindError):
    """There is no such kind."""


class KindDefinitionError(KindError):
    """A file of `background_jobs/kinds/` does not say what a kind must say."""


@dataclass(frozen=True)
class ParameterProblem:
    """One thing that is wrong with the parameters.

    Attributes:
        field: its name, dotted where it lies deeper; empty where the parameters do not fit together.
        message: what is wrong, and what would be right.
    """

    field: str
    message: str


class ParameterError(KindError):
    """Parameters that a kind refuses; names each field.

    Attributes:
        problems: all of them.
    """

    def __init__(self, kind: str, problems: Sequence[ParameterProblem]) -> None:
        self.problems = tuple(problems)
        listed = "; ".join(f"{item.field}: {item.message}" if item.field else item.message for item in problems)
        super().__init__(f"{kind}: {listed}")
