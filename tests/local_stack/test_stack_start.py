"""Starting under other circumstances: as an ordinary user, killed half-way, servers given by URL, closed directories."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from dbconnect import load_settings
from local_stack.account import Account, server_account
from local_stack.credentials import load_credentials
from local_stack.errors import StackError
from local_stack.paths import StackPaths
from local_stack.ports import plan_ports
from local_stack.programs import STACK_MARK, Program, render_config
from local_stack.stack import StackOptions, down, up
from local_stack.status import stack_status
from local_stack.supervisor import Supervisor
from tests.servers import Shared

PROJECT = Path(__file__).parents[2]
DEFINITIONS = "tests.local_stack.trivial_definitions"


def _python_of(account: Account) -> str:
    """This Python, or the same version of the system where the account can't get at this one."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, system):
        real = Path(candidate).resolve()
        if real.exists() and account.can_reach(real) and account.can_reach(Path(sysconfig.get_path("purelib"))):
            return candidate
    pytest.skip(f"the account {account.name} can reach neither {sys.executable} nor {system}")


@pytest.fixture
def data_dir(server_directory: Callable[[str], Path]) -> Iterator[Path]:
    directory = server_directory("salespulse-start")
    server_account().chown(directory)
    try:
        yield directory / "data"
    finally:
        down(directory / "data", log=lambda _: None)


def test_an_ordinary_user_whose_first_start_was_killed(data_dir: Path) -> None:
    account = server_account()
    # The system's Python may be older than 3.11.3, where redis-py asks for the module that asyncio.timeout replaced.
    (data_dir.parent / "async_timeout.py").write_text("from asyncio import timeout\n\n__all__ = ['timeout']\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(PROJECT), sysconfig.get_path("purelib"), str(data_dir.parent)]),
        "XDG_CACHE_HOME": str(data_dir.parent / "cache"),
        "HOME": str(data_dir.parent),
    }
    command = [
        _python_of(account), "-c", "from salespulse.cli import main; main()",
        "up", "--no-ui", "--json", "--data-dir", str(data_dir), "--definitions", DEFINITIONS, "--workers", "1",
    ]  # fmt: skip
    options = {"env": environment, "cwd": data_dir.parent, "text": True, **account.popen_options()}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options) as first:
        for line in first.stderr:
            if "starting postgres_standby" in line:
                first.send_signal(signal.SIGKILL)
                break
    assert first.returncode == -signal.SIGKILL

    second = subprocess.run(command, check=False, capture_output=True, **options)
    assert second.returncode == 0, second.stderr
    document = json.loads(second.stdout)
    assert "***" in document["settings"]["admin_url"]
    states = {each.name: each for each in stack_status(data_dir)}
    assert all(each.is_running for each in states.values()), states
    assert "webserver" not in states
    owners = {psutil.Process(each.pid).username() for each in states.values()}
    assert owners == {account.name}


def test_given_servers_are_used_and_not_started(data_dir: Path, monkeypatch) -> None:
    monkeypatch.setenv("SALESPULSE_REDIS_URL", "redis://:pw@127.0.0.1:1/5")
    monkeypatch.setenv("SALESPULSE_PRIMARY_URL", "postgresql://me:pw@127.0.0.1:1/shop")
    monkeypatch.setenv("SALESPULSE_DRAIN_SECONDS", "7")
    with pytest.raises(StackError, match="SALESPULSE_DAGSTER_URL"):
        up(StackOptions(data_dir), log=lambda _: None)
    monkeypatch.setenv("SALESPULSE_DAGSTER_URL", "postgresql://d:pw@127.0.0.1:1/dagster")

    class Seen(Exception):  # noqa: N818 - ends `up` before anything of Dagster starts
        pass

    def migrate(settings) -> None:
        assert settings.url("warehouse_url") == "postgresql://me:pw@127.0.0.1:1/shop"
        assert settings.url("redis_url") == "redis://:pw@127.0.0.1:1/5"
        assert settings.replica_url is None
        raise Seen

    for _ in range(2):  # the second time, what the first one wrote is not mistaken for the user's wish, nor the reverse
        with pytest.raises(Seen):
            up(StackOptions(data_dir), migrate=migrate, log=lambda _: None)
        assert [each.name for each in stack_status(data_dir)] == ["code_server", "worker", "daemon", "webserver"]
    assert 'SALESPULSE_DRAIN_SECONDS="7.0"' in StackPaths(data_dir).supervisor_config.read_text()
    for variable in ("REDIS_URL", "PRIMARY_URL", "DAGSTER_URL", "DRAIN_SECONDS"):
        monkeypatch.delenv(f"SALESPULSE_{variable}")
    assert load_settings(data_dir=data_dir).url("primary_url") == "postgresql://me:pw@127.0.0.1:1/shop"


def test_a_closed_directory_puts_the_servers_elsewhere(tmp_path: Path) -> None:
    account = server_account()
    if not account.is_other_user:
        pytest.skip("only root hands servers to another account")
    tmp_path.chmod(0o700)
    paths, log = StackPaths(tmp_path / "data"), []
    try:
        paths.prepare(account, log.append)
        assert not paths.servers.is_relative_to(tmp_path)
        assert account.can_reach(paths.servers)
        assert stat.S_IMODE(paths.servers.stat().st_mode) == 0o700
        assert str(paths.servers) in log[0]
        paths.prepare(account, log.append)
        assert len(log) == 1
    finally:
        shutil.rmtree(paths.servers)


def test_a_stack_keeps_the_account_of_its_data(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root hands servers to another account")
    os.chown(tmp_path, 1, 1)
    assert server_account(data=tmp_path).uid == 1


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path / ("long" * 30))
    assert len(str(paths.supervisor_socket)) < 100
    assert StackPaths(tmp_path / ("Long" * 30)).supervisor_socket != paths.supervisor_socket


def test_damaged_credentials_are_not_replaced_silently(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    credentials = load_credentials(path)
    assert load_credentials(path) == credentials
    assert credentials.redis not in repr(credentials)
    path.write_text(path.read_text()[:100])
    with pytest.raises(StackError, match=r"credentials\.json is damaged"):
        load_credentials(path)


def test_ports_are_remembered_and_a_damaged_file_is_not_fatal(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = plan_ports(path, running=())
    assert len(set(first.values())) == len(first)
    assert plan_ports(path, running=()) == first
    path.write_text("{")
    assert set(plan_ports(path, running=())) == set(first)


def test_ports_are_planned_for_programs_that_do_not_run(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = plan_ports(path, running=())
    with socket.socket() as redis, socket.socket() as primary:
        for other, name in ((redis, "redis"), (primary, "postgres_primary")):
            other.bind(("127.0.0.1", first[name]))
            other.listen()
        second = plan_ports(path, running={"postgres_primary"})
    changed = {name for name in first if second[name] != first[name]}
    assert changed == {"redis"}


def test_a_supervisor_that_does_not_answer_is_no_stopped_stack(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    paths.supervisor_config.write_text("[program:redis]\npriority=10\n")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(paths.supervisor_socket))
        silent.listen()
        with pytest.raises(StackError, match="does not answer"):
            Supervisor(paths).processes(timeout_s=0.05)
    assert Supervisor(paths).processes() == {}


def test_values_that_the_supervisor_would_misread(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    program = Program("p", ["run", "100%", "two words"], 1, environment={"URL": "a%20b,c"})
    text = render_config(paths, [program], environment={}, user=None)
    assert "100%%" in text
    assert "'two words'" in text
    assert 'URL="a%%20b,c"' in text
    assert STACK_MARK in text
    for value in ("a\"b'c", '"a', "a'", "a ;b", "a #b", "a\nb"):
        with pytest.raises(StackError, match="supervisord can't"):
            render_config(paths, [program], environment={"OTHER": value}, user=None)


def test_down_without_a_stack_does_nothing(tmp_path: Path) -> None:
    assert down(tmp_path / "none") is False
    assert stack_status(tmp_path / "none") == []
    with contextlib.suppress(FileNotFoundError):
        assert not list((tmp_path / "none").iterdir())


def test_a_shared_server_is_started_again_after_a_failure_and_not_tried_in_vain() -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def run() -> Iterator[int]:
        events.append("start")
        if events.count("start") == 3:
            raise StackError("broken")
        yield events.count("start")
        events.append("stop")

    session = SimpleNamespace(testsfailed=0)
    shared = Shared(run)
    for _ in range(2):
        with shared.lend(session) as number:
            assert number == 1
    with shared.lend(session):
        session.testsfailed += 1
    with shared.lend(session) as number:
        assert number == 2
        session.testsfailed += 1
    assert events == ["start", "stop", "start", "stop"]
    with pytest.raises(StackError), shared.lend(session):
        pass
    with pytest.raises(pytest.fail.Exception, match="broken"), shared.lend(session):
        pass
    assert events.count("start") == 3
