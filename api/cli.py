"""``hwnas serve``: the REST service, with a worker beside it."""

from typing import Annotated

import typer


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on. There is no authentication: keep it on loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Also run a worker for queued jobs.")] = True,
) -> None:
    """Serve the REST API: fronts, recommendations, search and calibration jobs.

    Prints the address once it listens; the API is described at /docs and /openapi.json. Ctrl-C ends
    the service and its worker; a running job resumes when they start again.
    """
    from api.service import run_service  # noqa: PLC0415 - --help and other commands need no web server

    run_service(host=host, port=port, with_worker=worker, announce=typer.echo)
