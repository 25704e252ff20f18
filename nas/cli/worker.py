"""``hwnas worker``: a process that does the service's jobs."""

import logging
from typing import Annotated

import typer


def worker(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when no job is waiting.")] = False,
    lease_s: Annotated[
        float, typer.Option(help="Seconds of silence after which another worker takes the job up.", min=1)
    ] = 30.0,
) -> None:
    """Do queued jobs (searches, calibrations) one after another.

    Start as many as the machine can measure without disturbing itself: usually one. A worker that
    is killed loses nothing: its job is taken up again from the last finished step. Ctrl-C finishes
    the job at hand; a second Ctrl-C gives it back to the queue.
    """
    from nas.jobs.worker import run_worker  # noqa: PLC0415
    from nas.workflows.job_handlers import job_handlers  # noqa: PLC0415
    from nas.workspace import open_workspace  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    with open_workspace() as workspace:
        run_worker(workspace.store, job_handlers(workspace), lease_s=lease_s, until_idle=until_idle)
