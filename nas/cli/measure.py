"""``hwnas measure`` and ``hwnas fit``: real evaluations of a designed set, and predictors from them."""

from typing import Annotated, Any

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table

Device = Annotated[str, typer.Option("--device", "-d", help="Device profile; `hwnas devices` lists them.")]
MAX_SEED = 2**63 - 1
"""The largest integer that a database row holds."""

Supernet = Annotated[
    str | None, typer.Option("--supernet", help="First digits of a supernet's id. Default: the newest.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def measure(
    device: Device = "local-cpu/onnxruntime",
    count: Annotated[
        int, typer.Option(help="Number of candidates; the smallest and largest networks come first.", min=4)
    ] = 14,
    supernet: Supernet = None,
    as_json: Json = False,
) -> None:
    """Measure a designed set of candidates on a device.

    The set contains the smallest and the largest network in fp32 and int8, and covers the space
    between them. Each candidate is extracted from the supernet, compiled, compared with PyTorch,
    and timed in a worker process. Networks that were measured before are not measured again.
    """
    from nas.measuring.context import SearchContext
    from nas.workflows.evaluating import measure_design, preparation_pool
    from nas.workspace import open_workspace, space_of

    with open_workspace() as workspace, TerminalProgress() as progress:
        chosen = workspace.supernet(supernet)
        profile = workspace.profile(device)
        with preparation_pool(workspace, chosen) as pool:
            context = SearchContext(workspace=workspace, supernet=chosen, profile=profile, pool=pool, progress=progress)
            result = measure_design(context, count=count)
        space = space_of(chosen)
    rows: list[dict[str, Any]] = [
        {
            "candidate": outcome.candidate_id,
            "summary": space.describe(genotype),
            "precision": space.describe_precision(genotype),
            "latency_p50_ms": outcome.latency_p50_ms if outcome.succeeded else None,
            "latency_p95_ms": outcome.latency_p95_ms if outcome.succeeded else None,
            "accuracy_val": outcome.accuracy_val if outcome.succeeded else None,
            "size_bytes": outcome.size_bytes if outcome.succeeded else None,
            "failure": outcome.failure,
        }
        for genotype, outcome in zip(result.genotypes, result.outcomes, strict=True)
    ]
    if as_json:
        print_json({"device": profile.id, "supernet": chosen.id, "measurements": rows})
        return
    print_table(
        f"Measured on {profile.id}",
        ("candidate", "network", "precision", "p50 ms", "p95 ms", "val. accuracy", "KiB"),
        [
            (row["candidate"][:12], row["summary"], row["precision"], "failed", row["failure"], "", "")
            if row["failure"]
            else (
                row["candidate"][:12],
                row["summary"],
                row["precision"],
                f"{row['latency_p50_ms']:.3f}",
                f"{row['latency_p95_ms']:.3f}",
                f"{row['accuracy_val']:.1%}",
                f"{row['size_bytes'] / 1024:.0f}",
            )
            for row in rows
        ],
    )
    if result.failures:
        print_lines(f"{result.failures} of {len(rows)} candidates failed; the others are kept.")


def fit(device: Device = "local-cpu/onnxruntime", supernet: Supernet = None, as_json: Json = False) -> None:
    """Fit the latency and accuracy predictors to everything measured on a device so far.

    The latency predictor also learns from known devices, as in a calibration, if that lowers its error.
    Prints the cross-validated relative error, rank correlation, and the share of true values
    inside the 90 % intervals. Each fit is stored as a new revision.
    """
    from nas.cli.predictor_report import report_lines
    from nas.workflows.fitting import fit_predictors
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        chosen = workspace.supernet(supernet)
        profile = workspace.profile(device)
        fitted = fit_predictors(workspace, chosen, profile)
    latency, accuracy = fitted.latency.held_out, fitted.accuracy.held_out
    if as_json:
        print_json(
            {
                "device": profile.id,
                "supernet": chosen.id,
                "latency": {"revision": fitted.latency_revision, "form": fitted.latency.choice.as_json()}
                | latency.as_json(),
                "accuracy": {"revision": fitted.accuracy_revision, "form": fitted.accuracy.choice.as_json()}
                | accuracy.as_json(),
            }
        )
        return
    print_lines(*report_lines(profile.id, fitted))
