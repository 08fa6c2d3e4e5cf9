"""Each rule of tools/check_house.py is seen to refuse what breaks it, on a small tree."""

from pathlib import Path

import pytest

from tests.tools.scripts import run_script

LONG = "\n".join(f"_line_{number} = {number}" for number in range(60)) + "\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one package and no exceptions, which keeps every rule."""
    packages = '[tool.hatch.build.targets.wheel]\npackages = ["shop"]\n'
    write(tmp_path, {"pyproject.toml": packages, "tools/house.toml": "", "shop/sales.py": LONG})
    assert check(tmp_path, "--write") == (0, "")
    return tmp_path


def write(tree: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")


def check(tree: Path, *arguments: str) -> tuple[int, str]:
    return run_script("check_house.py", "--root", str(tree), *arguments)


def test_a_short_file_needs_a_reason(tree: Path) -> None:
    write(tree, {"shop/money.py": "_cents = 100\n", "shop/errors.py": "", "shop/__init__.py": ""})
    assert check(tree) == (1, "shop/money.py: 1 lines; merge it with the file that it changes with\n")
    write(tree, {"tools/house.toml": '[small_files]\n"shop/money.py" = "one number that two packages share"\n'})
    assert check(tree) == (0, "")


def test_an_exception_that_is_not_needed_is_refused(tree: Path) -> None:
    write(tree, {"tools/house.toml": '[small_files]\n"shop/sales.py" = "was short"\n'})
    assert check(tree) == (1, "tools/house.toml: [small_files] shop/sales.py is not needed: remove it\n")


def test_a_long_file_is_refused(tree: Path) -> None:
    write(tree, {"shop/sales.py": LONG * 7})
    assert check(tree) == (1, "shop/sales.py: 420 lines; at most 400: split it\n")


def test_a_package_has_a_file_name_once(tree: Path) -> None:
    write(tree, {"shop/web/sales.py": LONG.replace("_line", "_row")})
    assert check(tree) == (1, "shop/sales.py and shop/web/sales.py have the same name\n")


@pytest.mark.parametrize(
    "definition",
    ["LIMIT = 3\n", "LIMIT: int = 3\n", "def LIMIT(): ...\n", "async def LIMIT(): ...\n", "class LIMIT: ...\n"],
)
def test_a_public_name_is_defined_once(tree: Path, definition: str) -> None:
    write(tree, {"shop/sales.py": LONG + "LIMIT = 2\n", "shop/returns.py": LONG + definition})
    assert check(tree) == (1, "LIMIT is defined in shop/returns.py and shop/sales.py\n")


def test_private_names_type_variables_commands_and_routes_may_repeat(tree: Path) -> None:
    text = LONG + 'T = TypeVar("T")\n@shop.command("buy")\ndef buy(): ...\n@router.get("/sales")\ndef sales(): ...\n'
    write(tree, {"shop/sales.py": text, "shop/returns.py": text})
    assert check(tree) == (0, "")


def test_loggers_have_one_spelling(tree: Path) -> None:
    write(tree, {"shop/sales.py": LONG + "_logger = logging.getLogger(__name__)\n"})
    assert check(tree) == (0, "")
    write(tree, {"shop/sales.py": LONG + "LOG = logging.getLogger(__name__)\n"})
    code, text = check(tree)
    assert (code, text.split(": ")[0]) == (1, "shop/sales.py:61")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('raise SaleError(f"there is no sale {sale_id}")', "SaleError: there is no sale {…}"),
        ('class NoSaleError(Exception):\n    status = 404\n    title = "No sale"', "NoSaleError: 404 : No sale"),
        ('refusal = problem(404, "no-sale", "No sale", "gone")', "problem: no-sale | No sale | gone"),
        ('raise SaleError("late" if is_late else "early")', "SaleError: late | early"),
    ],
)
def test_a_new_message_shows_as_a_difference(tree: Path, code: str, message: str) -> None:
    write(tree, {"shop/sales.py": f"{LONG}{code}\n"})
    exit_code, text = check(tree, "messages")
    assert exit_code == 1
    assert f"+{message}\n" in text
    assert check(tree, "--write") == (0, "")
    assert check(tree) == (0, "")
