"""``hwnas bench service``: requests per second and response times of the REST service."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import print_json, print_table
from search_spaces.errors import NasError, UsageError

_COLUMNS = ("requests_per_s", "p50_ms", "p99_ms", "requests", "wrong")


def service(
    name: Annotated[
        str | None, typer.Option("--device", "-d", help="A device with a front. Default: the first one.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="A running service. Default: one is started on a free port.")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="Concurrent connections.")] = 16,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds for each kind of request.")] = 10.0,
    out: Annotated[Path | None, typer.Option("--out", help="Write one JSON row per kind to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
) -> None:
    """Measure how many requests for stored fronts the service answers per second, and how fast.

    Kinds: `pareto` (a device's front), `pareto_304` (the same with a matching ETag), `pareto_limited` (within limits)
    and `front` (one search's). The load generator runs on the same machine and uses part of its cores.
    """
    from nas.cli.load_generator import Load, run_load
    from nas.cli.service_query import running_service

    with nullcontext(url.rstrip("/")) if url else running_service() as address:
        rows = []
        for kind, path, headers, status in _requests(address, name):
            load = Load(url=address + path, headers=headers, status=status, connections=connections, seconds=seconds)
            row: dict[str, Any] = {"request": kind, "connections": connections, "seconds": seconds}
            rows.append(row | asdict(run_load(load)))
    write_rows(rows, out)
    if as_json:
        print_json(rows)
        return
    print_table(
        f"{connections} connections, {seconds:g} s each",
        ("request", *_COLUMNS),
        [[row["request"], *(f"{row[column]:.4g}" for column in _COLUMNS)] for row in rows],
    )


def _requests(address: str, name: str | None) -> list[tuple[str, str, dict[str, str], int]]:
    """Kind, path, headers and expected status of each request.

    Raises:
        UsageError: if no such device has a front.
        NasError: if the service cannot be asked.
    """
    try:
        devices = httpx.get(f"{address}/v1/devices", timeout=30).raise_for_status().json()["devices"]
        fronts = {one["id"]: one["spaces_with_front"][0] for one in devices if one["spaces_with_front"]}
        if not fronts or name not in {None, *fronts}:
            known = ", ".join(fronts) or "none"
            raise UsageError(
                f"{'this home' if name is None else f'device {name!r}'} has no front (devices with one: {known});"
                " `hwnas quickstart` or `hwnas search` makes one."
            )
        device = name or next(iter(fronts))
        path = f"/v1/devices/{device}/pareto?space={fronts[device]}"
        answer = httpx.get(address + path, timeout=30).raise_for_status()
        chosen = httpx.get(f"{address}/v1/devices/{device}/recommendation?space={fronts[device]}", timeout=30)
        front = chosen.raise_for_status().json()["front"]
    except httpx.HTTPError as error:
        raise NasError(f"the service at {address} cannot be asked: {error}") from error
    return [
        ("pareto", path, {}, 200),
        ("pareto_304", path, {"If-None-Match": answer.headers["etag"]}, 304),
        ("pareto_limited", f"{path}&min_accuracy=0.01", {}, 200),
        ("front", front, {}, 200),
    ]
