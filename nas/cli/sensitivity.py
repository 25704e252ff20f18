"""``hwnas sensitivity``: quantization error per unit of a network."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.cli.measure import Json, Supernet
from nas.output_paths import check_output_file


def sensitivity(
    candidate: Annotated[
        str, typer.Argument(help="Canonical string, or first digits of a candidate's id; its policy does not matter.")
    ],
    supernet: Supernet = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the sensitivities into this file, a .png or an .html.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure the effect of quantizing each unit of a network alone, with inherited weights.

    For each unit, an ONNX graph with that unit quantized runs on the calibration images. The table
    shows the divergence of its class probabilities from the float network's (nats), the increase in
    cross-entropy, and how often the class stays the same; the last rows quantize the whole network.
    """
    from nas.reports.sensitivity_plot import check_plot_path, plot_sensitivity
    from nas.workflows.evaluating import preparation_pool
    from nas.workflows.predicting import candidate_genotypes
    from nas.workflows.unit_sensitivity import measured_sensitivity
    from nas.workspace import open_workspace, space_of

    if plot is not None:
        check_plot_path(plot)
        check_output_file(plot, "--plot")
    with open_workspace() as workspace, TerminalProgress() as progress:
        chosen = workspace.supernet(supernet)
        space = space_of(chosen)
        (genotype,) = candidate_genotypes(workspace.store, space, [candidate])
        with preparation_pool(workspace, chosen) as pool:
            found = measured_sensitivity(pool, space, genotype, progress)
    plain = space.unquantized(genotype[None])[0]
    summary, candidate_id = space.describe(plain), space.candidate(plain).id
    if plot is not None:
        plot_sensitivity(found, f"{summary} ({candidate_id[:12]}), {found.images} calibration images", plot)
    if as_json:
        print_json({"supernet": chosen.id, "candidate": candidate_id, "summary": summary} | found.as_json())
        return
    print_table(
        f"Sensitivity of {candidate_id[:12]}: {summary}",
        ("unit", "precision", "divergence, nats", "rise of the loss, nats", "same class"),
        [
            (one.unit, one.precision, "stays in float", one.reason or "", "")
            if one.divergence is None
            else (
                one.unit,
                one.precision,
                f"{one.divergence:.2e}",
                "-" if one.loss_increase is None else f"{one.loss_increase:+.2e}",
                f"{one.agreement:.1%}",
            )
            for one in (*found.units, *found.together)
        ],
    )
    print_lines(*_summed(found.as_json()))
    if plot is not None:
        print_lines(f"plot: {plot}")


def _summed(found: dict[str, list[dict[str, float | str | None]]]) -> list[str]:
    """How the sum over units compares with the whole network, per precision."""
    lines = []
    for whole in found["together"]:
        own = [one["divergence"] for one in found["units"] if one["precision"] == whole["precision"]]
        total = sum(float(one) for one in own if one is not None)
        if whole["divergence"] is None:
            lines.append(f"{whole['precision']}: the whole network cannot be quantized: {whole['reason']}")
        else:
            lines.append(
                f"{whole['precision']}: units sum to {total:.2e} nats; all together {whole['divergence']:.2e}."
            )
    return lines
