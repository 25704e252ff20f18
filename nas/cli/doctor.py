"""``hwnas doctor``: checks of the installation and of the running service."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Final, Literal

import typer

from nas.cli.console import print_json, print_table
from nas.cli.measure import Json
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from nas.home import Home
    from nas.store import Store

Status = Literal["ok", "warning", "failed"]
_PACKAGES: Final = ("torch", "onnxruntime", "apache-tvm", "xgboost", "optuna", "fastapi", "sqlalchemy")
_OPTIONAL: Final = {"psycopg": "PostgreSQL databases", "datasets": "--data hf:NAME"}
_LOW_DISK_BYTES: Final = 5 << 30
_MIN_DISK_BYTES: Final = 200 << 20
_OLD_QUEUE_S: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    status: Status
    detail: str


def doctor(as_json: Json = False) -> None:
    """Check the installation, the runtimes, the disk, the database and the workers.

    Exits with 1 if a check failed. A warning needs attention, but hwnas works.
    """
    findings = list(_findings())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [(finding.check, finding.status, finding.detail) for finding in findings]
        print_table("hwnas doctor", ("check", "status", "detail"), rows)
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(1)


def _findings() -> Iterator[Finding]:
    from nas.home import Home

    yield Finding(check="python", status="ok", detail=f"{platform.python_version()} ({sys.executable})")
    yield from _packages()
    yield from _runtimes()
    try:
        home = Home.from_environment()
        home.root.mkdir(parents=True, exist_ok=True)
    except (NasError, OSError) as error:
        yield Finding(check="home", status="failed", detail=str(error))
        return
    yield _home(home)
    yield _disk(home)
    yield from _database(home)


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(check=name, status="ok", detail=metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(check=name, status="failed", detail="not installed; `pip install hwnas` brings it")
    for name, purpose in _OPTIONAL.items():
        try:
            yield Finding(check=name, status="ok", detail=metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(check=name, status="ok", detail=f"not installed; only needed for {purpose}")


def _runtimes() -> Iterator[Finding]:
    from hw_profiles.detect import detect_processor
    from hw_profiles.runtimes.registry import get_runtime, runtime_names

    isa = detect_processor().isa
    for name in runtime_names():
        try:
            runtime = get_runtime(name)
            precisions = ", ".join(f"{precision} {how}" for precision, how in runtime.precisions(isa).items())
            runtime.prepare()
        except Exception as error:  # noqa: BLE001 - a runtime of a plugin may raise anything
            yield Finding(check=f"runtime {name}", status="failed", detail=f"{type(error).__name__}: {error}")
        else:
            yield Finding(check=f"runtime {name}", status="ok", detail=f"{runtime.version}: {precisions}")
    compiler = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    yield Finding(
        check="C++ compiler",
        status="ok" if compiler else "warning",
        detail=compiler or "none found; TVM links its libraries with one (Debian: g++)",
    )


def _home(home: "Home") -> Finding:
    if not os.access(home.root, os.W_OK):
        return Finding(check="home", status="failed", detail=f"{home.root} cannot be written to")
    return Finding(check="home", status="ok", detail=str(home.root))


def _disk(home: "Home") -> Finding:
    free = shutil.disk_usage(home.root).free
    status: Status = "ok" if free >= _LOW_DISK_BYTES else "warning" if free >= _MIN_DISK_BYTES else "failed"
    advice = "" if status == "ok" else f"; {home.cache} can be deleted at any time"
    return Finding(check="disk", status=status, detail=f"{free / (1 << 30):.1f} GiB free{advice}")


def _database(home: "Home") -> Iterator[Finding]:
    from nas.store import open_store

    try:
        with open_store(home.database_url) as store:
            store.check()
            detail = f"{store.database.name}, schema {store.schema_revision()}"
            yield Finding(check="database", status="ok", detail=detail)
            yield from _workers(store)
            yield _keys(store)
    except (NasError, OSError) as error:
        yield Finding(check="database", status="failed", detail=str(error))


def _workers(store: "Store") -> Iterator[Finding]:
    """Workers that hold jobs, and jobs that nobody takes."""
    from nas.jobs.absent_hosts import absent_hosts
    from nas.jobs.queue import JobQueue

    now, queue = store.clock(), JobQueue(store)
    running, queued = queue.all(state="running"), queue.all(state="queued")
    stale = [job for job in running if job.lease_until is not None and job.lease_until <= now]
    for job in stale:
        seen = "never" if job.heartbeat_at is None else f"{(now - job.heartbeat_at).total_seconds():.0f} s ago"
        detail = f"holds job {job.id}, last seen {seen}; the job runs again once a worker is free"
        yield Finding(check=f"worker {job.worker}", status="warning", detail=detail)
    old = [job for job in queued if (now - job.created_at).total_seconds() > _OLD_QUEUE_S]
    for host, count in absent_hosts(store, old).items():
        detail = f"no worker of it is there, and jobs for its devices wait ({count}): start `hwnas worker` on it"
        yield Finding(check=f"host {host}", status="warning", detail=detail)
    waiting_s = 0.0 if not queued else (now - queued[0].created_at).total_seconds()
    abandoned = waiting_s > _OLD_QUEUE_S and len(running) == len(stale)
    detail = f"{len(queued)} queued, {len(running)} running"
    if abandoned:
        detail += f"; the oldest waits for {waiting_s / 60:.0f} min and no worker runs: start `hwnas worker`"
    yield Finding(check="jobs", status="warning" if abandoned else "ok", detail=detail)


def _keys(store: "Store") -> Finding:
    count = store.api_keys.count_active()
    detail = f"{count} active" if count else "none; needed only to serve other machines (`hwnas keys create`)"
    return Finding(check="API keys", status="ok", detail=detail)
