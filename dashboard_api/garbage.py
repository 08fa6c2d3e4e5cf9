"""How often Python looks for garbage that reference counts don't free: rarely, for here is next to none, and looking costs a third of a hit."""

import gc

# A thousand requests on their way are tens of thousands of objects, which the usual 700 had looked through again and again
# (docs/benchmarks.md). Cycles come from errors alone; so many objects of them wait, some megabytes, before they are freed.
_NEW_OBJECTS = 50_000
_YOUNG_LOOKS, _MIDDLE_LOOKS = 20, 50


def settle() -> None:
    """Call it once everything is loaded: what is there by now stays until the end, and is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG_LOOKS, _MIDDLE_LOOKS)
