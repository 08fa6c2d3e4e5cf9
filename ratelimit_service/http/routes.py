"""Read an application's own routes (Starlette, FastAPI, Flask, Django), so that what its router serves is what is counted.

Routers take several spellings of a path for one view: `//login` (Flask), `/login%0A` (Starlette), `/login/`, a repeated
`root_path`. Rules are compared with one normal form of them, and where a spelling is not a rule's own, the router says
whether it leads to the same view. No framework is imported unless the application brings it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal

RouteCheck = Literal["rules", "all", "off"]
"""What is checked at start-up: that each rule matches a route, that moreover each route has a rule, or nothing."""

_SLASHES = re.compile("/{2,}")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|<[^<>]*>")
_SEGMENT = "{}"
_REST = "**"
# Converters of one segment in Starlette, Flask and Django; any other may span several.
_SEGMENT_CONVERTERS = frozenset({"", "any", "default", "float", "int", "slug", "str", "string", "uuid"})
# Attributes under which middlewares hold what they wrap.
_INNER = ("app", "_app", "application", "wsgi_app")
_REGEX_SYMBOLS = re.compile(r"[\\\[\](){}.*+?|^$]")


def normal_path(path: str) -> str:
    """Return the form that stands for all spellings of a path: single slashes, none at the end, no line feed there."""
    if path[-1:] in {"/", "\n"} or "//" in path or not path.startswith("/"):
        path = "/" + _SLASHES.sub("/", path.rstrip("/\n")).removeprefix("/")
    return path


def path_below(root_path: str, path: str) -> str:
    """Return what a router sees of an ASGI path: without `root_path`, if it begins with it (servers differ in that)."""
    if root_path and path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] in {"", "/"}:
        return path[len(root_path) :] or "/"
    return path


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the application.

    Attributes:
        path: as its framework writes it, with placeholders `{…}` or `<…>` and the prefixes of mounts.
        methods: upper case; empty is all.
    """

    path: str
    methods: frozenset[str] = frozenset()

    def overlaps(self, path: str, methods: frozenset[str]) -> bool:
        """Whether some request could be both this route's and a rule's of this path and these methods."""
        has_method = not methods or not self.methods or bool(methods & self.methods)
        return has_method and _overlap(_segments(self.path), _segments(path))


def _segments(path: str) -> tuple[str, ...]:
    # Placeholders come first, since a converter's arguments may hold a slash.
    text = _PLACEHOLDER.sub(lambda match: _REST if _spans_segments(match[0]) else _SEGMENT, path)
    parts = (part for part in normal_path(text).split("/") if part)
    return tuple(_REST if _REST in part else _SEGMENT if _SEGMENT in part else part for part in parts)


def _spans_segments(placeholder: str) -> bool:
    before, _, after = placeholder[1:-1].rpartition(":")
    converter = (after if before else "") if placeholder.startswith("{") else before.partition("(")[0]
    return converter not in _SEGMENT_CONVERTERS


def _overlap(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    if not left or not right:
        return all(part == _REST for part in left or right)
    if left[0] == _REST:
        return _overlap(left[1:], right) or _overlap(left, right[1:])
    if right[0] == _REST:
        return _overlap(right, left)
    return (left[0] == right[0] or _SEGMENT in {left[0], right[0]}) and _overlap(left[1:], right[1:])


@dataclass(frozen=True, slots=True)
class ApplicationRoutes:
    """An application's routes, read when they are needed, since an application may add some after its middleware.

    Attributes:
        read: returns them all.
        view: returns what serves a method and path; None if nothing does (not found, a redirect, another method).
        root_path: the application's own, which takes precedence over the server's; empty if it has none.
    """

    read: Callable[[], Iterable[Route]]
    view: Callable[[str, str], object]
    root_path: str = ""


def find_routes(app: Any) -> ApplicationRoutes | None:
    """Return the routes of the application that an ASGI or WSGI callable leads to; None for an unknown framework."""
    for _ in range(100):
        app = getattr(app, "__self__", app)
        # What mounts further applications beside one (Werkzeug's dispatcher) serves more than that one's routes.
        if app is None or hasattr(app, "mounts"):
            return None
        if hasattr(app, "url_map"):
            return _flask(app)
        if type(app).__module__.startswith("django.core.handlers."):
            return _django(is_asgi=type(app).__module__.endswith(".asgi"))
        if isinstance(getattr(app, "routes", None), list):
            return ApplicationRoutes(
                partial(_starlette_routes, app.routes),
                partial(_starlette_view, app.routes),
                getattr(app, "root_path", ""),
            )
        app = next((inner for name in _INNER if (inner := getattr(app, name, None)) is not None), None)
    return None


def _flattened(routes: Iterable[Any]) -> Iterator[Any]:
    # FastAPI keeps the routers that it includes as they are; a route in one lacks its prefix.
    flatten = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    for route in flatten(routes) if flatten else routes:
        if hasattr(getattr(route, "original_route", route), "methods") or getattr(route, "routes", None) is not None:
            yield route


def _starlette_routes(routes: Iterable[Any], prefix: str = "") -> Iterator[Route]:
    for route in _flattened(routes):
        path = prefix + (getattr(route, "path", None) or "")
        children = getattr(route, "routes", None)
        if children:
            yield from _starlette_routes(children, path)
        elif children is None:
            yield Route(path, frozenset(route.methods or ()))
        else:
            yield Route(path + "/{rest:path}")


def _starlette_view(routes: Iterable[Any], method: str, path: str) -> object:
    for route in _flattened(routes):
        regex = getattr(route, "path_regex", None)
        match = regex.match(path) if regex is not None else None
        children = getattr(route, "routes", None)
        if children is None:
            if match and (not route.methods or method in route.methods):
                return route.endpoint
        elif regex is None:
            # A host's routes, whichever host it is.
            if view := _starlette_view(children, method, path):
                return view
        elif match:
            return _starlette_view(children, method, "/" + match["path"]) if children else route.app
    return None


def _flask(app: Any) -> ApplicationRoutes:
    not_served = import_module("werkzeug.exceptions").HTTPException

    def view(method: str, path: str) -> object:
        try:
            return app.url_map.bind("localhost").match(path, method)[0]
        except not_served:
            return None

    def read() -> list[Route]:
        return [Route(rule.rule, frozenset(rule.methods or ())) for rule in app.url_map.iter_rules()]

    return ApplicationRoutes(read, view)


def _django(*, is_asgi: bool) -> ApplicationRoutes:
    urls = import_module("django.urls")
    own_prefix = import_module("django.conf").settings.FORCE_SCRIPT_NAME or ""

    def view(_: str, path: str) -> object:
        try:
            return urls.resolve(path).func
        except urls.Resolver404:
            return None

    def read(patterns: Iterable[Any] | None = None, prefix: str = "/") -> Iterator[Route]:
        for pattern in urls.get_resolver().url_patterns if patterns is None else patterns:
            path = prefix + _django_path(pattern.pattern)
            children = getattr(pattern, "url_patterns", None)
            yield from [Route(path)] if children is None else read(children, path)

    return ApplicationRoutes(read, view, own_prefix if is_asgi else "")


def _django_path(pattern: Any) -> str:
    # The text of a regular expression that is more than text, or of a language's prefix, stands for any path.
    kind, text = type(pattern).__name__, str(pattern)
    if kind == "RoutePattern":
        return text
    text = text.removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    return text if kind == "RegexPattern" and not _REGEX_SYMBOLS.search(text) else "<path:any>"
