"""``hwnas predict``: predicted latencies of networks on a device."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hw_profiles.host import resolved_device_id
from nas.cli.console import print_json, print_lines, print_table
from search_spaces.errors import UsageError


def predict(
    device: Annotated[str, typer.Argument(help="A device with a predictor; `hwnas calibrate` makes one.")],
    candidates: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CANDIDATE]...", help="Canonical strings, or first digits of candidates' ids."),
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", help="The candidates' space. Default: the only one with a predictor.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file with one candidate per line; '-' reads standard input.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Predict the p50 latency of candidates on a device in ms, with 90 % intervals.

    Candidates are canonical strings of the space, such as `hwnas measurements export` writes, or ids that
    hwnas printed. Without candidates and --file they are read from standard input, one per line. A candidate
    outside the range of the training samples is still predicted, and marked.
    """
    from nas.workflows.predicting import predict_latencies
    from nas.workspace import open_workspace

    texts = _texts(candidates or [], file)
    with open_workspace() as workspace:
        device = resolved_device_id(device)
        answer = predict_latencies(workspace, device, space, texts)
    metrics = answer.predictor.metrics
    if as_json:
        print_json(
            {
                "device": device,
                "space": answer.space.name,
                "predictor": answer.predictor.id,
                "stale": answer.stale,
                "samples": metrics["n"],
                "expected_mape_pct": answer.expected_mape_pct,
                "held_out": {name: value for name, value in metrics.items() if name != "provenance"},
                "quantity": "latency_p50_ms",
                "predictions": [
                    {
                        "candidate": one.candidate_id,
                        "arch": one.canonical,
                        "predicted": one.predicted,
                        "interval_90": list(one.interval_90),
                        "outside": one.outside,
                    }
                    for one in answer.candidates
                ],
            }
        )
        return
    print_table(
        f"Predicted on {device}, {answer.space.name}",
        ("candidate", "network", "p50 ms", "90 % interval", "trained on"),
        [
            (
                one.candidate_id[:12],
                answer.space.describe(genotype),
                f"{one.predicted:.4g}",
                f"{one.interval_90[0]:.4g} to {one.interval_90[1]:.4g}",
                "outside" if one.outside else "inside",
            )
            for one, genotype in zip(answer.candidates, answer.genotypes, strict=True)
        ],
    )
    # Only calibrations choose their samples; they record the request.
    chosen = ", which were chosen to differ and are harder" if "request" in metrics.get("provenance", {}) else ""
    print_lines(
        f"predictor {answer.predictor.id[:12]} of {answer.predictor.created_at:%Y-%m-%d %H:%M}:"
        f" {metrics['n']} measurements; expected error on new networks {answer.expected_mape_pct:.1f} %,"
        f" cross-validated error on the measured ones{chosen}, {metrics['mape_pct']:.1f} %."
    )
    if answer.stale:
        print_lines(
            f"{device} has changed since (runtime or processor):"
            f" run `hwnas calibrate {device} --space {answer.space.name}` again."
        )


def _texts(candidates: list[str], file: Path | None) -> list[str]:
    """Candidates from the line, the file, or standard input; empty lines are left out."""
    if candidates and file is not None:
        raise UsageError("candidates are given both as arguments and with --file; use only one.")
    if candidates:
        return candidates
    if file is None and sys.stdin.isatty():
        return []
    try:
        content = sys.stdin.read() if file is None or str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"candidates cannot be read from {file or 'standard input'}: {error}.") from error
    return [line.strip() for line in content.splitlines() if line.strip()]
