"""``hwnas worker``: runs the service's jobs."""

import logging
from typing import Annotated

import typer


def worker(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Exit when no job is waiting.")] = False,
    lease_s: Annotated[
        float, typer.Option(help="Seconds without a heartbeat after which another worker takes over the job.", min=1)
    ] = 30.0,
    supervised: Annotated[
        bool, typer.Option("--supervised", hidden=True, help="Exit when standard input ends, for hwnas serve.")
    ] = False,
) -> None:
    """Run queued jobs (searches, calibrations) one after another.

    Run one worker per machine: several would disturb each other's measurements. The job of a
    killed worker resumes from its last finished step. Ctrl-C finishes the current job and exits; a
    second Ctrl-C returns the job to the queue.

    Where several hosts share a database and HWNAS_HOME, set HWNAS_HOST to a name of its own on each:
    jobs then go to the host that has their device.
    """
    from nas.jobs.supervisor import ending_with_supervisor  # noqa: PLC0415 - the store takes half a second
    from nas.jobs.worker import StopSignal, WorkerSettings, run_worker  # noqa: PLC0415 - as above
    from nas.workflows.host_presence import present_host  # noqa: PLC0415 - as above
    from nas.workflows.job_handlers import job_handlers  # noqa: PLC0415 - as above
    from nas.workspace import open_workspace  # noqa: PLC0415 - as above

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = StopSignal()
    if supervised:
        ending_with_supervisor(stop)
    with open_workspace() as workspace, present_host(workspace, stop):
        settings = WorkerSettings(lease_s=lease_s, until_idle=until_idle)
        run_worker(workspace.store, job_handlers(workspace), settings, stop=stop)
