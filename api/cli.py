"""``hwnas serve``: the REST service, with a worker."""

from typing import Annotated

import typer

_DEFAULT_MAX_QUEUED = 1000
_DEFAULT_MAX_UPLOAD_MIB = 1024


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other than loopback, it needs an API key (`hwnas keys`).")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.", min=0, max=65535)] = 8000,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Also run a worker for queued jobs.")] = True,
    require_keys: Annotated[bool, typer.Option("--require-keys", help="Require API keys on loopback, too.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Accept requests without an API key for this host name, such as that of a proxy on this machine;"
            " repeat it for several. Default: only localhost and loopback addresses.",
            show_default=False,
        ),
    ] = None,
    max_queued: Annotated[
        int, typer.Option(help="Maximum number of queued jobs; more are refused with status 429.", min=1)
    ] = _DEFAULT_MAX_QUEUED,
    max_upload_mib: Annotated[
        int,
        typer.Option(help="Largest data set to take, in MiB; decompressed, four times as much.", min=1),
    ] = _DEFAULT_MAX_UPLOAD_MIB,
    access_log: Annotated[
        str | None,
        typer.Option(help="Append one line of JSON per request to this file; '-' for standard error. Default: none."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Serve Prometheus metrics on this port; 0 picks a free one. Default: none.", min=0, max=65535
        ),
    ] = None,
) -> None:
    """Serve the REST API and the web page: fronts, recommendations, search and calibration jobs.

    Prints the address of the web page once it listens; the API reference is at /docs and /openapi.json.
    Ctrl-C ends the service and its worker; a running job resumes when they start again.
    """
    from api.service import ServeOptions, run_service  # noqa: PLC0415 - --help and other commands need no web server

    options = ServeOptions(
        host=host,
        port=port,
        with_worker=worker,
        require_keys=require_keys,
        allowed_hosts=tuple(allow_host or ()),
        max_queued=max_queued,
        max_upload_bytes=max_upload_mib << 20,
        access_log=access_log,
        metrics_port=metrics_port,
    )
    run_service(options, announce=typer.echo)
