"""Every kind by its name, found in the files of this package."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from background_jobs.kinds.errors import KindDefinitionError, UnknownKindError
from background_jobs.kinds.kind import JobKind, Parameters

ModelT = TypeVar("ModelT", bound=type[Parameters])

_PACKAGE = "background_jobs.kinds"
_ATTRIBUTE = "__job_kind__"


def job_kind(name: str, *, job_name: str, op_name: str, **options: Any) -> Callable[[ModelT], ModelT]:
    """Make a kind of the class of its parameters; the first line of its docstring describes it.

    Args:
        name: in the API, the metrics and the command line.
        job_name: of the Dagster job that does the work.
        op_name: the op of it that takes the parameters.
        options: further fields of `JobKind`.

    Raises:
        KindDefinitionError: the class is not one of `Parameters`, or says nothing of itself.
    """

    def decorate(model: ModelT) -> ModelT:
        if not issubclass(model, Parameters):
            raise KindDefinitionError(
                f"{name}: {model.__name__} must be a subclass of background_jobs.kinds.Parameters"
            )
        description = (model.__doc__ or "").strip().partition("\n")[0]
        if not description:
            raise KindDefinitionError(f"{name}: the docstring of {model.__name__} must describe the job in one line")
        kind = JobKind(name=name, description=description, params=model, job_name=job_name, op_name=op_name, **options)
        setattr(model, _ATTRIBUTE, kind)
        return model

    return decorate


class _Registry(Mapping[str, JobKind]):
    """Imports the kinds when it is first asked."""

    @cached_property
    def _kinds(self) -> dict[str, JobKind]:
        found: dict[str, JobKind] = {}
        for module in sorted(pkgutil.iter_modules([str(Path(__file__).parent)]), key=lambda item: item.name):
            for value in vars(importlib.import_module(f"{_PACKAGE}.{module.name}")).values():
                kind = vars(value).get(_ATTRIBUTE) if isinstance(value, type) else None
                if kind is not None and found.setdefault(kind.name, kind) is not kind:
                    raise KindDefinitionError(f"two kinds are called {kind.name}")
        return found

    def __getitem__(self, name: str) -> JobKind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


KINDS: Mapping[str, JobKind] = _Registry()


def kind_named(name: str) -> JobKind:
    """Give a kind by its name.

    Raises:
        UnknownKindError: there is none; the message lists those that there are.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKindError(f"there is no kind of job called {name!r}: take one of {', '.join(KINDS)}") from None
