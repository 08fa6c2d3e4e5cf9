"""What the live traffic will do: operation number i of a seed is the same on every run, whichever session does it."""

from dataclasses import dataclass
from random import Random

# Out of a hundred operations or so; a busy shop with careless clerks.
WEIGHTS = {
    "sale": 46,
    "late_sale_of_yesterday": 4,
    "late_sale_of_last_month": 3,
    "edit_line": 12,
    "add_line": 2,
    "remove_line": 2,
    "change_status": 5,
    "void": 4,
    "soft_delete": 2,
    "restore": 1,
    "delete_sale": 3,
    "move_to_store": 3,
    "move_to_customer": 3,
    "return_half": 5,
    "return_full": 3,
    "undo_return": 3,
}
_SEVERAL_SHARE = 0.08
_HELD_SHARE = 0.01
_HELD_SECONDS = (2.0, 6.0)
_ROLLED_BACK_SHARE = 0.03
_SAVEPOINT_SHARE = 0.06


@dataclass(frozen=True, slots=True)
class Operation:
    """One transaction: what it does in turn, and how it ends."""

    number: int
    kinds: tuple[str, ...]
    held_s: float
    is_rolled_back: bool
    has_savepoint: bool
    random: Random


def plan(seed: int, number: int) -> Operation:
    """Give operation `number` of a seed. Its `random` decides amounts and rows, and is its own."""
    random = Random(f"{seed}/{number}")  # noqa: S311, sales to be made up, not secrets
    count = random.randint(2, 4) if random.random() < _SEVERAL_SHARE else 1
    return Operation(
        number=number,
        kinds=tuple(random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)),
        held_s=random.uniform(*_HELD_SECONDS) if random.random() < _HELD_SHARE else 0.0,
        is_rolled_back=random.random() < _ROLLED_BACK_SHARE,
        has_savepoint=random.random() < _SAVEPOINT_SHARE,
        random=random,
    )
