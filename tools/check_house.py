#!/usr/bin/env python3
"""Check the rules of CONTRIBUTING.md that no linter knows, over the product's packages.

    tools/check_house.py [files] [definitions] [loggers] [messages] [--write]      (default: all four)

What is excepted stands in tools/house.toml with its reason; an exception that is no longer needed is refused too.
Words and phrases are `tools/check_names`. Needs the standard library alone.
"""

import argparse
import ast
import difflib
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIN_LINES = 40
MAX_LINES = 400
# Every package may have one of these in each of its folders.
COMMON_FILE_NAMES = {"__init__.py", "__main__.py", "errors.py", "settings.py"}
# Decorators whose function is called by its user's word or by its route, and imported by nobody.
ENTRY_POINTS = {"command", "group", "get", "post", "put", "patch", "delete"}
TYPE_VARIABLES = {"TypeVar", "ParamSpec", "TypeVarTuple"}
LOGGER = "_logger = logging.getLogger(__name__)"
MESSAGES = Path("tests/snapshots/messages.txt")
# Calls whose texts a caller of the API or of a library reads end in one of these.
MESSAGE_CALLS = ("Error", "Problem", "problem")


class House:
    """The product's Python files below a root, and the exceptions that its tools/house.toml lists."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.exceptions = tomllib.loads((root / "tools" / "house.toml").read_text(encoding="utf-8"))
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        self.sources = {
            path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
            for package in packages
            for path in sorted((root / package).rglob("*.py"))
        }

    def trees(self) -> Iterator[tuple[str, ast.Module]]:
        """Yield each file's path and syntax tree."""
        for path, source in self.sources.items():
            yield path, ast.parse(source)

    def excepted(self, table: str, needed: Mapping[str, str]) -> list[str]:
        """Return the messages of those that the table does not list, and one for each entry that is not needed."""
        listed = self.exceptions.get(table, {})
        stale = [f"tools/house.toml: [{table}] {key} is not needed: remove it" for key in listed if key not in needed]
        return [message for key, message in needed.items() if key not in listed] + stale


def check_files(house: House) -> list[str]:
    """Return files that are too short or too long, and file names that a package has twice."""
    needed_small, needed_names, too_long = {}, {}, []
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, source in house.sources.items():
        name = Path(path).name
        lines = source.count("\n")
        if name not in COMMON_FILE_NAMES:
            places[path.split("/")[0], name].append(path)
            if lines < MIN_LINES:
                needed_small[path] = f"{path}: {lines} lines; merge it with the file that it changes with"
        if lines > MAX_LINES:
            too_long.append(f"{path}: {lines} lines; at most {MAX_LINES}: split it")
    for (package, name), paths in places.items():
        if len(paths) > 1:
            needed_names[f"{package}/{name}"] = f"{' and '.join(paths)} have the same name"
    return too_long + house.excepted("small_files", needed_small) + house.excepted("file_names", needed_names)


def check_definitions(house: House) -> list[str]:
    """Return public module-level names that two files of the product define."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in house.trees():
        if Path(path).name != "__main__.py":
            for name in {name for statement in tree.body for name in _defined(statement)}:
                places[name].append(path)
    needed = {
        name: f"{name} is defined in {' and '.join(sorted(paths))}"
        for name, paths in places.items()
        if len(paths) > 1 and not name.startswith("_")
    }
    return house.excepted("shared_names", needed)


def _defined(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.ClassDef(name=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not _is_entry_point(statement):
            yield name
        case ast.Assign(value=ast.Call(func=ast.Name(id=called))) if called in TYPE_VARIABLES:
            return
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _:
            pass


def _is_entry_point(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is a word of the command line or the handler of a route."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ENTRY_POINTS
        for decorator in function.decorator_list
        for node in ast.walk(decorator)
    )


def check_loggers(house: House) -> list[str]:
    """Return module loggers that are not spelled as the others."""
    needed = {}
    for path, tree in house.trees():
        for statement in tree.body:
            text = ast.unparse(statement)
            if isinstance(statement, ast.Assign) and "logging.getLogger(" in text and text != LOGGER:
                needed[path] = f"{path}:{statement.lineno}: {text}; write {LOGGER}"
    return house.excepted("loggers", needed)


def check_messages(house: House, *, is_rewriting: bool = False) -> list[str]:
    """Return the difference between the snapshot of all messages and the code, or rewrite the snapshot."""
    text = "".join(_messages_of_file(path, tree) for path, tree in house.trees())
    snapshot = house.root / MESSAGES
    if is_rewriting:
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        snapshot.write_text(text, encoding="utf-8")
    before = snapshot.read_text(encoding="utf-8") if snapshot.exists() else ""
    lines = list(difflib.unified_diff(before.splitlines(), text.splitlines(), str(MESSAGES), "code", lineterm="", n=0))
    return [*lines, "messages changed: read the difference, then `make messages`"] if lines else []


def _messages_of_file(path: str, tree: ast.Module) -> str:
    messages = list(dict.fromkeys(message for node in ast.walk(tree) for message in _messages(node)))
    return f"# {path}\n" + "".join(f"{message}\n" for message in sorted(messages)) + "\n" if messages else ""


def _messages(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Raise(exc=ast.Call() as call):
            yield from _call_texts(_called(call), call)
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__")):
            yield from _call_texts("super().__init__", node)
        case ast.Call() if _called(node).endswith(MESSAGE_CALLS):
            yield from _call_texts(_called(node), node)
        case ast.ClassDef(name=name) if name.endswith("Error"):
            values = dict(pair for statement in node.body for pair in _constants(statement))
            if "title" in values:
                yield f"{name}: {values.get('status', '')} {values.get('kind', '')}: {values['title']}"
        case _:
            pass


def _constants(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            if isinstance(value, ast.Constant):
                yield name, str(value.value)
        case _:
            pass


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rsplit(".", 1)[-1]


def _call_texts(name: str, call: ast.Call) -> Iterator[str]:
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    texts = [text for argument in arguments for text in _texts(argument)]
    if texts:
        yield f"{name}: {' | '.join(texts)}"


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an argument can be, with `{…}` for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            yield " ".join(text.split())
        case ast.JoinedStr(values=parts):
            yield " ".join("".join(str(p.value) if isinstance(p, ast.Constant) else "{…}" for p in parts).split())
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)
        case ast.BinOp(left=left, right=right):
            yield "".join([*_texts(left), *_texts(right)])
        case _:
            pass


CHECKS: dict[str, Callable[[House], list[str]]] = {
    "files": check_files,
    "definitions": check_definitions,
    "loggers": check_loggers,
    "messages": check_messages,
}


def main() -> int:
    """Run the checks, print what breaks a rule, and return the exit code."""
    parser = argparse.ArgumentParser(description="Check the house rules.")
    parser.add_argument("checks", nargs="*", choices=[*CHECKS, []], help="which of them (default: all)")
    parser.add_argument("--write", action="store_true", help="rewrite the snapshot of messages")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository's root")
    arguments = parser.parse_args()
    house = House(arguments.root)
    if arguments.write:
        check_messages(house, is_rewriting=True)
    problems = [problem for name in arguments.checks or CHECKS for problem in CHECKS[name](house)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
