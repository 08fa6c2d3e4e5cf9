"""Tokens and positions as text."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbconnect import TokenError
from dbconnect.commit_tokens import CommitToken
from dbconnect.errors import UnavailableError
from dbconnect.lsn import format_lsn, parse_lsn

BRIEF = settings(max_examples=100, deadline=timedelta(seconds=2))


@BRIEF
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_token_survives_the_journey(timeline: int, position: int) -> None:
    text = CommitToken(timeline, position).encode()
    assert len(text) == 18
    assert text.isascii()
    assert CommitToken.decode(text) == CommitToken(timeline, position)


@BRIEF
@given(st.text(max_size=40))
def test_any_other_text_is_refused_or_is_a_token(text: str) -> None:
    try:
        token = CommitToken.decode(text)
    except TokenError:
        return
    assert token.encode() == text.rstrip("=")


@BRIEF
@given(st.integers(0, 2**64 - 1))
def test_positions_are_written_as_postgresql_does(position: int) -> None:
    assert parse_lsn(format_lsn(position)) == position


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/100000000", "-1/0", "g/0", "0/0/0"])
def test_other_positions_are_refused(text: str) -> None:
    with pytest.raises(UnavailableError, match="not a WAL position"):
        parse_lsn(text)
