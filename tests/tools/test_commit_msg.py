import subprocess
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "tools" / "commit-msg"


def complaint(tmp_path, message):
    path = tmp_path / "message"
    path.write_text(message)
    done = subprocess.run([HOOK, path], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is (done.stderr == "")
    return done.stderr


@pytest.mark.parametrize(
    "message",
    [
        "Install the lock on Python 3.14",
        "Give 422 the title of RFC 9110\n\nIts name depended on the interpreter: 12 ms were lost.\nAdded by hand.\n",
        "Bring the glossary up to date\n\n# Please enter the commit message\n",
        "Speed up the start\n# ------------------------ >8 ------------------------\n+a diff that is not the message\n",
        "Merge branch 'main' into machines.",
        "fixup! install the lock",
        "E" + "x" * 71,
    ],
)
def test_a_good_message_passes(tmp_path, message):
    assert complaint(tmp_path, message) == ""


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("", "empty"),
        ("# only comments\n", "empty"),
        ("E" + "x" * 72, "73 characters; at most 72"),
        ("install the lock", "capital letter"),
        ("2026-11-30", "capital letter"),
        ("Install the lock.", "full stop"),
        ("Added a lock", "is a command"),
        ("Adding a lock", "is a command"),
        ("Answer in 12 ms", "measured figures"),
        ("Use 30 % less memory", "measured figures"),
        ("Install the lock\nfor Python 3.14", "second line"),
    ],
)
def test_a_bad_message_is_refused_with_its_reason(tmp_path, message, part):
    assert part in complaint(tmp_path, message)
