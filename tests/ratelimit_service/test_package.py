"""What importing the limiter costs, and that its types say what it does."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_importing_it_imports_nothing_heavy():
    code = """
        import sys
        import ratelimit_service
        heavy = {"dagster", "pandas", "sqlalchemy", "pyarrow", "psycopg", "pipelines", "dbconnect", "fastapi", "starlette"}
        print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_decorated_functions_keep_their_types(tmp_path):
    (tmp_path / "typed.py").write_text(
        textwrap.dedent("""
        import redis
        import redis.asyncio
        from typing import Awaitable, assert_type
        from ratelimit_service import AsyncLimiter, Decision, Limiter, Policy, PolicySet, Slot

        policies = PolicySet([Policy.parse("p", "1/s")])
        limiter = Limiter(redis.Redis(), policies)
        waiting = AsyncLimiter(redis.asyncio.Redis(), policies)

        @limiter.limited("p", key=lambda user, times: user)
        def greet(user: str, times: int) -> list[str]:
            return [user] * times

        @waiting.limited("p", key=lambda user: user)
        async def wave(user: str) -> int:
            return 1

        assert_type(greet("ann", 2), list[str])
        greet("ann", "two")  # type: ignore[arg-type]
        assert_type(limiter.check("p", "k"), Decision)
        with limiter.slot("p", "k") as slot:
            assert_type(slot, Slot)

        async def main() -> None:
            assert_type(await wave("ann"), int)
            assert_type(await waiting.check("p", {"user": 1}), Decision)
            await waiting.check("p", 1.5)  # type: ignore[arg-type]
        """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", str(tmp_path / "typed.py")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
