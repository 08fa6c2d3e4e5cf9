"""Policies from TOML, YAML or JSON: a document is valid as a whole, or refused with line and reason.

```toml
version = "7"                      # optional; by default a hash of the content
shadow = false                     # true makes every policy a shadow

[policies.api]
limits = ["100/minute per user", "5000/minute per tenant"]
cost = 1
on_outage = "local"                # open, closed or local
shadow = false
lease = 0
one_slot = false

[policies.api.tenants.acme]
limits = ["1000/minute per user", "50000/minute per tenant"]
```
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.constructor import SafeConstructor

from ratelimit_service.errors import PolicyError, PolicyFileError
from ratelimit_service.limits import Limit
from ratelimit_service.policy import OnOutage, Policy, PolicySet

Place = tuple[str, ...]
_TOP: dict[str, type] = {"version": str, "shadow": bool, "policies": dict}
_POLICY: dict[str, type] = {
    "limits": list,
    "cost": int,
    "on_outage": str,
    "shadow": bool,
    "lease": int,
    "one_slot": bool,
    "tenants": dict,
}
_TENANT: dict[str, type] = {"limits": list}
_TOML_LINE = re.compile(r"\(at line (\d+)")


def load_policies(path: str | Path) -> PolicySet:
    """Return the policies of a `.toml`, `.yaml`, `.yml` or `.json` file.

    Raises:
        PolicyFileError: the file is unreadable or invalid; none of it is used.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFileError(str(path), None, f"can't be read: {error}") from error
    return parse_policies(text, source=str(path), is_toml=path.suffix.lower() == ".toml")


def parse_policies(text: str, *, source: str, is_toml: bool) -> PolicySet:
    """Return the policies of a document.

    Args:
        text: TOML, or YAML (of which JSON is a subset).
        source: the document's name in errors.
        is_toml: whether it is TOML.

    Raises:
        PolicyFileError: the document is invalid; none of it is used.
    """
    document, lines = _read_toml(text, source) if is_toml else _read_yaml(text, source)
    return _Reader(source, lines).policies(document)


class _Reader:
    """Converts a document to policies; knows each part's line, for errors."""

    def __init__(self, source: str, lines: Mapping[Place, int]) -> None:
        self._source = source
        self._lines = lines

    def _refuse(self, place: Place, reason: str) -> NoReturn:
        line = next((self._lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self._lines), None)
        raise PolicyFileError(self._source, line, f"{'.'.join(place) or 'the document'}: {reason}")

    def _table(self, value: Any, place: Place, fields: Mapping[str, type]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(place, f"expected a table, not {value!r}")
        for name, part in value.items():
            if name not in fields:
                self._refuse((*place, str(name)), f"unknown name; expected one of {', '.join(fields)}")
            expected = fields[name]
            if not isinstance(part, expected) or (expected is int and isinstance(part, bool)):
                self._refuse((*place, name), f"expected {expected.__name__}, not {part!r}")
        return value

    def policies(self, document: Any) -> PolicySet:
        top = self._table(document, (), _TOP)
        try:
            return PolicySet(
                [self._policy(str(name), table) for name, table in top.get("policies", {}).items()],
                version=top.get("version"),
                is_shadow=top.get("shadow", False),
            )
        except PolicyFileError:
            raise
        except PolicyError as error:
            self._refuse(("policies",), str(error))

    def _policy(self, name: str, table: Any) -> Policy:
        place = ("policies", name)
        fields = self._table(table, place, _POLICY)
        on_outage = fields.get("on_outage", OnOutage.OPEN)
        if on_outage not in tuple(OnOutage):
            self._refuse((*place, "on_outage"), f"expected one of {', '.join(OnOutage)}, not {on_outage!r}")
        tenants = {}
        for tenant, part in fields.get("tenants", {}).items():
            path = (*place, "tenants", str(tenant))
            tenants[str(tenant)] = self._limits(self._table(part, path, _TENANT), path)
        limits = self._limits(fields, place)
        try:
            return Policy.parse(
                name,
                *limits,
                cost=fields.get("cost", 1),
                on_outage=on_outage,
                is_shadow=fields.get("shadow", False),
                lease=fields.get("lease", 0),
                tenants=tenants,
                one_slot=fields.get("one_slot", False),
            )
        except PolicyError as error:
            self._refuse(place, str(error))

    def _limits(self, fields: Mapping[str, Any], place: Place) -> list[str]:
        path = (*place, "limits")
        texts = fields.get("limits")
        if not texts:
            self._refuse(path, "expected at least one limit")
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                self._refuse((*path, str(number)), f"expected a string such as '100/minute', not {text!r}")
            try:
                Limit.parse(text)
            except PolicyError as error:
                self._refuse((*path, str(number)), str(error))
        return list(texts)


def _read_toml(text: str, source: str) -> tuple[Any, dict[Place, int]]:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        match = _TOML_LINE.search(str(error))
        raise PolicyFileError(source, int(match[1]) if match else text.count("\n") + 1, str(error)) from error
    return document, _toml_lines(text)


def _toml_lines(text: str) -> dict[Place, int]:
    # tomllib reports no positions: search the accepted text for table headers and keys.
    lines: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = _toml_key(header[1])
            lines.setdefault(table, number)
        elif key := re.match(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", line):
            lines.setdefault((*table, *_toml_key(key[1])), number)
    return lines


def _toml_key(dotted: str) -> Place:
    parts = re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", dotted)
    return tuple(part.strip("\"'") for part in parts)


def _read_yaml(text: str, source: str) -> tuple[Any, dict[Place, int]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise PolicyFileError(source, mark.line + 1 if mark else None, str(error.problem)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a date that does not exist.
        raise PolicyFileError(source, None, str(error)) from error
    return document if document is not None else {}, _YamlLines(source).read(node)


class _YamlLines:
    """Reads each part's line from a document's nodes, and refuses a name that is defined twice, as TOML does."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines: dict[Place, int] = {}
        self._visited: set[int] = set()

    def read(self, node: yaml.Node | None) -> dict[Place, int]:
        self._visit(node, ())
        return self._lines

    def _visit(self, node: yaml.Node | None, place: Place) -> None:
        # Visit an anchored node once, however often it is referenced, even from itself.
        if node is None or id(node) in self._visited:
            return
        self._visited.add(id(node))
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, place)
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._visit(item, (*place, str(number)))

    def _visit_mapping(self, node: yaml.MappingNode, place: Place) -> None:
        line_of_name: dict[str, int] = {}
        for key, value in node.value:
            name, line = _yaml_name(key), key.start_mark.line + 1
            path = (*place, name)
            if name in line_of_name:
                reason = f"{'.'.join(path)}: is defined twice; the first is on line {line_of_name[name]}"
                raise PolicyFileError(self._source, line, reason)
            line_of_name[name] = self._lines[path] = line
            self._visit(value, path)


def _yaml_name(key: yaml.Node) -> str:
    # As the reader sees it: 7, 0x7 and "7" are one name. A merge key (<<) has no value of its own.
    if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
        return str(SafeConstructor().construct_document(key))
    return str(key.value)


def bundled_policies() -> PolicySet:
    """Return the policies of `policies/default.toml`: 100 requests a minute per user or address."""
    path = files("ratelimit_service") / "policies" / "default.toml"
    return parse_policies(path.read_text(encoding="utf-8"), source="the bundled default.toml", is_toml=True)
