"""The examples of docs/ratelimit.md, run and read."""

import re
from pathlib import Path

from ratelimit_service import Limit, parse_policies

TEXT = (Path(__file__).parents[2] / "docs" / "ratelimit.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_every_example_runs(server):
    for code in blocks("python"):
        exec(  # noqa: S102 - the documentation's own examples
            code.replace("redis.Redis()", f"redis.Redis(port={server.port})"), {}
        )


def test_every_limit_and_document_is_read():
    notation = re.search(r"^## Notation\n\n```\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[1]
    limits = [text for line in notation.splitlines() for text in re.split(r"\s{3,}", line)]
    assert len([Limit.parse(text) for text in limits]) == 8
    for document in blocks("toml"):
        assert parse_policies(document, source="docs", is_toml=True)["api"].tenants
