"""How fresh the figures are, as of one look at the state."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, eq=False)
class Freshness:
    """What one look showed.

    Attributes:
        as_of: the figures reflect every sale up to this moment.
        staleness_s: seconds from `as_of` to the look.
        is_stale: whether the server that answered was further behind than it may be, or no server has answered lately.
    """

    as_of: datetime
    staleness_s: float
    is_stale: bool
