"""``hwnas sensitivity``: quantization error per unit of a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.cli.measure import Json, Supernet
from nas.output_paths import check_output_file
from search_spaces.errors import UsageError


def sensitivity(
    candidate: Annotated[
        str, typer.Argument(help="Canonical string, or first digits of a candidate's id; its policy does not matter.")
    ],
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "-d",
            help="Device profile; evaluates the precisions that a search offers there. `hwnas devices` lists them."
            " Default: every reduced precision of the space.",
        ),
    ] = None,
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
    from nas.search.restriction import native_restriction
    from nas.workflows.evaluating import preparation_pool
    from nas.workflows.predicting import candidate_genotypes
    from nas.workflows.unit_sensitivity import measured_sensitivity, reduced_precisions
    from nas.workspace import open_workspace, space_of

    if plot is not None:
        check_plot_path(plot)
        check_output_file(plot, "--plot")
    with open_workspace() as workspace, TerminalProgress() as progress:
        chosen = workspace.supernet(supernet)
        space = space_of(chosen)
        (genotype,) = candidate_genotypes(workspace.store, space, [candidate])
        profile = None if device is None else workspace.profile(device)
        precisions = reduced_precisions(space, None if profile is None else native_restriction(space, profile))
        if not precisions:
            raise UsageError(
                f"networks of {space.name} have no reduced precision"
                f"{'' if profile is None else f' that {profile.id} executes natively'}; there is nothing to quantize."
            )
        with preparation_pool(workspace, chosen) as pool:
            found = measured_sensitivity(pool, genotype, precisions, progress)
    plain = space.unquantized(genotype[None])[0]
    summary, candidate_id = space.describe(plain), space.candidate(plain).id
    if plot is not None:
        plot_sensitivity(found, f"{summary} ({candidate_id[:12]}), {found.images} calibration images", plot)
    if as_json:
        about = {"supernet": chosen.id, "candidate": candidate_id, "summary": summary, "device": device}
        print_json(about | {"precisions": list(precisions)} | found.as_json())
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
    print_lines(*_summed(found.as_json()), _offered(precisions, device))
    if plot is not None:
        print_lines(f"plot: {plot}")


def _offered(precisions: Sequence[str], device: str | None) -> str:
    """Which precisions were evaluated, and why these."""
    if device is not None:
        return f"evaluated: {', '.join(precisions)}, which {device} executes natively."
    return (
        f"evaluated: {', '.join(precisions)}, all reduced precisions of the space;"
        " --device limits them to those that a search offers on a device."
    )


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
