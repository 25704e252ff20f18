"""``hwnas worker``: runs the service's jobs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nas.measuring.candidate_executor import ExecutorFactory


def worker(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Exit when no job is waiting.")] = False,
    lease_s: Annotated[
        float, typer.Option(help="Seconds without a heartbeat after which another worker takes over the job.", min=1)
    ] = 30.0,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Prepare candidates on the Ray cluster at this address, such as 10.0.0.2:6379 (extra: hwnas[ray])."
            " Measurements stay here. Default: on all cores of this machine.",
            show_default=False,
        ),
    ] = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", hidden=True, help="Exit when standard input ends, for hwnas serve.")
    ] = False,
) -> None:
    """Run queued jobs (searches, calibrations, trainings) one after another.

    Run one worker per machine: several would disturb each other's measurements. The job of a
    killed worker resumes from its last finished step. Ctrl-C finishes the current job and exits; a
    second Ctrl-C returns the job to the queue.

    Where several hosts share a database and HWNAS_HOME, set HWNAS_HOST to a name of its own on each:
    jobs then go to the host that has their device.
    """
    from nas.jobs.supervisor import ending_with_supervisor
    from nas.jobs.worker import StopSignal, WorkerSettings, run_worker
    from nas.workflows.host_presence import present_host
    from nas.workflows.job_handlers import job_handlers
    from nas.workspace import open_workspace

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = StopSignal()
    if supervised:
        ending_with_supervisor(stop)
    with open_workspace() as workspace, present_host(workspace, stop), _executors(ray) as executors:
        settings = WorkerSettings(lease_s=lease_s, until_idle=until_idle)
        run_worker(workspace.store, job_handlers(workspace, executors=executors), settings, stop=stop)


@contextmanager
def _executors(ray: str | None) -> "Iterator[ExecutorFactory]":
    if ray is None:
        from nas.measuring.candidate_processes import CandidateProcesses

        yield CandidateProcesses
        return
    from nas.measuring.ray_cluster import ray_cluster

    with ray_cluster(ray) as cluster:
        yield cluster
