"""`salespulse jobs`: background jobs from the terminal, without the HTTP API."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from pydantic import BaseModel

from background_jobs.dagster_bridge.job_store import open_job_store
from background_jobs.kinds import KINDS, get_kind
from background_jobs.store import Job, JobError, JobState, JobStore
from dbconnect import SalespulseError, load_settings
from salespulse.cli.output import JSON_OPTION, age, print_facts, print_json, print_table, progress_bar

_POLL_S = 0.1
_SUBJECT = "command line"


class UnknownJobError(SalespulseError):
    """The job store does not have the job, or no longer."""


class JobCommandError(SalespulseError):
    """The job store refused, or is down."""


@click.group()
def jobs() -> None:
    """List, watch, submit and cancel background jobs."""


@jobs.command("list")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--kind", help="Only of this kind.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([state.value for state in JobState]), help="Repeatable."
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Maximum number of jobs.")
@JSON_OPTION
def list_jobs(tenant: str | None, kind: str | None, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    with _store() as store:
        page = store.list(tenant, kind=kind, states=[JobState(state) for state in states], limit=limit)
    if as_json:
        print_json([job.as_document() for job in page.jobs])
        return
    for job in page.jobs:
        # An id must be whole to be of use, whatever the terminal's width.
        click.echo(_line(job))


@jobs.command()
@click.argument("job_id")
@JSON_OPTION
def show(job_id: str, as_json: bool) -> None:
    """Show one job and its events."""
    with _store() as store:
        job, events = _get(store, job_id), store.events(job_id)
    if as_json:
        print_json({**job.as_document(), "events": [event.as_document() for event in events]})
        return
    print_facts(_facts(job))
    print_table(
        [
            {
                "when": datetime.fromisoformat(str(item["at"])),
                "state": item["state"],
                "progress": "" if item["percent"] is None else f"{item['percent']:.0f} %",
                "message": item["message"] or "",
            }
            for item in (event.as_document() for event in events)
        ],
        title="events",
    )


@jobs.command()
@click.argument("job_id")
@JSON_OPTION
def watch(job_id: str, as_json: bool) -> None:
    """Watch a job to its end; exit code 1 unless it succeeds."""
    with _store() as store:
        job = _watch(store, job_id, hidden=as_json)
    _end(job, as_json=as_json)


@jobs.command()
@click.argument("kind")
@click.option("--tenant", default="", help="Whose job it is [the system's own].")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; the value is JSON, or text.")
@click.option("--priority", default=0, type=click.IntRange(-10, 10), help="Higher ones of a tenant go first.")
@click.option("--delay", "delay_s", default=0.0, type=click.FloatRange(0), help="Seconds until it may start.")
@click.option("--watch", "is_watched", is_flag=True, help="Watch it to its end; exit code 1 unless it succeeds.")
@JSON_OPTION
def submit(
    kind: str, tenant: str, params: tuple[str, ...], priority: int, delay_s: float, is_watched: bool, as_json: bool
) -> None:
    """Submit a job of KIND; `salespulse jobs kinds` lists them."""
    submission = get_kind(kind).submission(
        tenant=tenant,
        subject=_SUBJECT,
        params=dict(_parameter(text) for text in params),
        priority=priority,
        delay_s=delay_s,
    )
    with _store() as store:
        submitted = store.submit(submission)
        if is_watched:
            _end(_watch(store, submitted.job.id, hidden=as_json), as_json=as_json)
            return
    if as_json:
        print_json({"outcome": submitted.outcome, "job": submitted.job.as_document()})
        return
    click.echo(submitted.job.id)


@jobs.command()
@click.argument("job_id")
@JSON_OPTION
def cancel(job_id: str, as_json: bool) -> None:
    """Cancel a job: a waiting one at once, a running one when it next checks."""
    with _store() as store:
        _get(store, job_id)
        job = store.cancel(job_id) or _get(store, job_id)
    if as_json:
        print_json(job.as_document())
        return
    click.echo(f"{job.id} is {job.state.value}")


@jobs.command()
@JSON_OPTION
def kinds(as_json: bool) -> None:
    """List the kinds of job and their parameters."""
    if as_json:
        print_json({kind.name: kind.params.model_json_schema() for kind in KINDS.values()})
        return
    for kind in KINDS.values():
        click.echo(f"{kind.name}: {kind.description}")
        for name, field in kind.params.model_fields.items():
            click.echo(f"    {name} [{_default(field.default)}]  {field.description or ''}")


@contextmanager
def _store() -> Iterator[JobStore]:
    store = open_job_store(load_settings())
    try:
        yield store
    except JobError as error:
        raise JobCommandError(str(error)) from error
    finally:
        store.close()


def _get(store: JobStore, job_id: str) -> Job:
    job = store.get(job_id)
    if job is None:
        raise UnknownJobError(f"job {job_id} does not exist, or no longer; `salespulse jobs list` shows those that do")
    return job


def _watch(store: JobStore, job_id: str, *, hidden: bool) -> Job:
    job = _get(store, job_id)
    with progress_bar(f"{job.kind}: {job.state.value}", hidden=hidden) as bar:
        while True:
            status = job.waiting_for or job.message or job.step or ""
            bar(job.percent or 0, 100, f"{job.kind}: {job.state.value} {status}".strip())
            if job.is_ended:
                return job
            time.sleep(_POLL_S)
            job = _get(store, job_id)


def _end(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(job.as_document())
    else:
        why = f" ({job.code}: {job.message})" if job.code else ""
        click.echo(f"{job.id} {job.state.value}{why}")
        if job.result:
            click.echo(json.dumps(dict(job.result)))
    if job.state is not JobState.SUCCEEDED:
        sys.exit(1)


def _line(job: Job) -> str:
    submitted = age(_moment(job.created_ms))
    percent = "" if job.percent is None else f"{job.percent:.0f} %"
    message = job.waiting_for or (f"{job.code}: {job.message}" if job.code else job.message) or ""
    return f"{job.id}  {submitted:>16}  {job.kind:22} {job.tenant or '-':12} {job.state.value:10} {percent:>5}  {message}".rstrip()


def _parameter(text: str) -> tuple[str, Any]:
    name, is_pair, value = text.partition("=")
    if not is_pair or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _facts(job: Job) -> dict[str, Any]:
    progress = [] if job.percent is None else [f"{job.percent:.0f} %"]
    return {
        "job": job.id,
        "kind": job.kind,
        "tenant": job.tenant,
        "submitted by": job.subject,
        "state": job.state.value,
        "reason": job.code,
        "waiting for": job.waiting_for,
        "message": job.message,
        "progress": ", ".join([*progress, *([job.step] if job.step else [])]),
        "counts": _words(job.counts),
        "attempt": f"{job.attempt} of {job.max_attempts}",
        "submitted": _moment(job.created_ms),
        "started": _moment(job.started_ms),
        "ended": _moment(job.ended_ms),
        "Dagster run": job.run_id,
        "parameters": _words(job.params),
        "result": _words(job.result or {}),
    }


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _words(values: Mapping[str, object]) -> str:
    """Return a mapping as `name = value, …`; what is nested as JSON."""
    texts = (
        f"{key} = {item if isinstance(item, str | int | float) else json.dumps(item)}" for key, item in values.items()
    )
    return ", ".join(texts)


def _default(value: object) -> str:
    return str(value) if isinstance(value, BaseModel | str | int | float) else "-"
