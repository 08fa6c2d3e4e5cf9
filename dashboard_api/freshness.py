"""How fresh the figures are, as of one look at the state."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property


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

    @cached_property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The header fields that say so: made once for the thousands of answers under one look."""
        fields = [
            (b"x-as-of", moment_text(self.as_of).encode()),
            (b"x-staleness-seconds", b"%.3f" % self.staleness_s),
        ]
        return [*fields, (b"x-stale", b"true")] if self.is_stale else fields

    @cached_property
    def tail(self) -> bytes:
        """The same as the last members of a JSON object, with the brace that ends it."""
        stale = "true" if self.is_stale else "false"
        return (
            f',"as_of":"{moment_text(self.as_of)}","staleness_s":{self.staleness_s:.3f},"is_stale":{stale}}}'.encode()
        )


def moment_text(moment: datetime) -> str:
    """A moment as answers write it: UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
