"""tools/check_names refuses the glossary's words and phrases, and lets others be."""

from pathlib import Path

import pytest

from tests.tools.scripts import run_script


def check(path: Path) -> tuple[int, str]:
    return run_script("check_names", str(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "found = 1\n"),
        ("a.py", "self._found = 1\n"),
        ("a.py", "def found(): ...\n"),
        ("a.py", "class Found: ...\n"),
        ("a.py", "def look_up(*, found): ...\n"),
        ("a.py", "try: ...\nexcept OSError as found: ...\n"),
        ("a.py", "import this as found\n"),
        ("a.py", "for found in (): ...\n"),
        ("found.py", ""),
        ("a.js", "const found = rows[0];\n"),
        ("a.sql", "WITH found AS (SELECT 1) SELECT %(id)s\n"),
        ("a.lua", "local found = 1\n"),
    ],
)
def test_a_word_as_a_whole_identifier_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    code, printed = check(tmp_path)
    assert code == 1
    assert "ound -> what it is" in printed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "found_rows = rows.found\nlook_up(found=1)\n# found\n"),
        ("a.js", "// found\nconst text = 'found' + row.found;\n"),
        ("a.sql", "-- found\nSELECT 'found'\n"),
        ("a.lua", "-- found\nlocal text = 'found'\n"),
        ("a.md", "Not found. It is set to the right value.\n"),
    ],
)
def test_parts_of_names_texts_and_what_others_define_are_not(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert check(tmp_path) == (0, "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "Rows are set\nright.\n"),
        ("a.py", '"""The rows that were set right."""\n'),
        ("a.py", 'text = "they set " "right"\n'),
        ("a.py", "# they set\n# right\n"),
        ("a.sql", "-- they set\n-- right\n"),
    ],
)
def test_a_phrase_is_refused_wherever_it_is_broken(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    code, printed = check(tmp_path)
    assert code == 1
    assert printed.endswith('"set right" -> repair\n')
