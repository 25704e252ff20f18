"""``hwnas search``: the best networks for a device within limits, measured there."""

from typing import Annotated

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines
from nas.cli.measure import MAX_SEED, Device, Json, Supernet
from nas.search.budget import DEFAULT_EVALUATIONS, MIN_EVALUATIONS


def search(
    device: Device = "local-cpu/onnxruntime",
    evaluations: Annotated[
        int, typer.Option(help="Real evaluations in all, the designed set among them.", min=MIN_EVALUATIONS)
    ] = DEFAULT_EVALUATIONS,
    batch: Annotated[int, typer.Option(help="Candidates evaluated between two fits of the predictors.", min=1)] = 8,
    seed: Annotated[
        int, typer.Option(help="The same seed on the same measurements proposes the same.", min=0, max=MAX_SEED)
    ] = 0,
    max_latency_p95_ms: Annotated[float | None, typer.Option(help="Prefer networks whose p95 keeps below.")] = None,
    max_size_bytes: Annotated[int | None, typer.Option(help="Prefer networks whose file keeps below.")] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Prefer networks at least this accurate (a fraction).")
    ] = None,
    survey: Annotated[
        int,
        typer.Option(
            help="Networks evaluated in fp32 with inherited weights beforehand, on no device; 0 for none.", min=0
        ),
    ] = 60,
    screen: Annotated[
        int,
        typer.Option(
            help="Architectures evaluated in fp32 with inherited weights before each batch; 0 for none.", min=0
        ),
    ] = 32,
    random_baseline: Annotated[
        bool, typer.Option(help="Spend the same budget again on random candidates, to compare with.")
    ] = False,
    supernet: Supernet = None,
    as_json: Json = False,
) -> None:
    """Search architectures and per-block precisions for a device; verify and store the front.

    Predictors propose, the device decides: each batch is chosen by predicted evolution, evaluated
    for real, and the predictors are fitted again. The members of the front are timed once more
    from the files that ship, and their test accuracy is counted once. A search that was
    interrupted continues when the same command is run again.
    """
    from nas.cli.front_table import print_front  # noqa: PLC0415
    from nas.search.outcome import Limits  # noqa: PLC0415
    from nas.workflows.evaluating import preparation_pool  # noqa: PLC0415
    from nas.workflows.front_search import search_front  # noqa: PLC0415
    from nas.workflows.searching import SearchRequest  # noqa: PLC0415
    from nas.workspace import open_workspace  # noqa: PLC0415

    request = SearchRequest(
        evaluations=evaluations,
        batch_size=batch,
        seed=seed,
        survey=survey,
        screen=screen,
        random_baseline=random_baseline,
        limits=Limits(max_latency_p95_ms=max_latency_p95_ms, max_size_bytes=max_size_bytes, min_accuracy=min_accuracy),
    )
    with open_workspace() as workspace, TerminalProgress() as progress:
        chosen = workspace.supernet(supernet)
        profile = workspace.profile(device)
        with preparation_pool(workspace, chosen) as pool:
            front_id, front = search_front(workspace, chosen, profile, request, pool, progress)
    if as_json:
        print_json({"front": front_id} | front.as_json())
        return
    print_front(front)
    print_lines(f"front {front_id[:12]}; export it: hwnas export {front_id[:12]} --out DIR")
