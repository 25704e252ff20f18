"""``hwnas bench kernels``: float and integer networks on both runtimes of this machine."""

from pathlib import Path
from statistics import median
from typing import Annotated, Final

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table

_TIMES: Final = ("tvm_fp32_ms", "tvm_int8_ms", "tvm_w4a8_ms", "onnxruntime_fp32_ms", "onnxruntime_int8_ms")
_RATIOS: Final = (
    ("tvm_int8_ms", "tvm_fp32_ms", "TVM int8 / TVM fp32"),
    ("tvm_w4a8_ms", "tvm_int8_ms", "TVM w4a8 / TVM int8"),
    ("tvm_int8_ms", "onnxruntime_int8_ms", "TVM int8 / ONNX Runtime int8"),
    ("tvm_fp32_ms", "onnxruntime_fp32_ms", "TVM fp32 / ONNX Runtime fp32"),
)


def kernels(
    space: Annotated[
        str, typer.Option("--space", help="Search space. Default: mobilenet_v3:tiny.")
    ] = "mobilenet_v3:tiny",
    networks: Annotated[int, typer.Option("--networks", min=1, help="Networks to time.")] = 5,
    image_size: Annotated[
        int | None,
        typer.Option("--image-size", min=8, help="Colour images of so many pixels a side. Default: the space's own."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the networks.")] = 0,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of either runtime. Default: 1.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Write one JSON row per network to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
) -> None:
    """Time networks in fp32, int8 and w4a8 on TVM and ONNX Runtime, alternating in one run.

    The networks are the largest, the smallest and sampled ones, with random weights. Spaces without
    policies, such as fbnet, are timed in fp32. For example:
    `hwnas bench kernels --space mobilenet_v3:tiny --image-size 32 --networks 20 --out kernels.json`.
    """
    from nas.home import Home
    from nas.workflows.kernel_benchmark import KernelBenchmark
    from search_spaces.registry import get_space
    from search_spaces.task import TaskSpec

    bound = get_space(space)
    if image_size is not None:
        shape = {"channels": 3, "height": image_size, "width": image_size}
        bound = get_space(space, TaskSpec.image_classification(**shape, classes=bound.task.classes))
    task = bound.task.dimensions
    folder = Home.from_environment().cache / "kernel-benchmark" / bound.name.replace(":", "-") / task
    benchmark = KernelBenchmark(space=bound, folder=folder, networks=networks, seed=seed, threads=threads)
    with TerminalProgress() as progress:
        found = benchmark.run(progress)
    rows = [row.as_json() for row in found]
    write_rows(rows, out)
    if as_json:
        print_json(rows)
        return
    timed = [name for name in _TIMES if rows[0][name] is not None]
    print_table(
        f"{bound.name}, {task}, instructions {found[0].isa}: milliseconds, threads: {threads}",
        ("network", *timed),
        [[row.summary, *(f"{getattr(row, name):.4g}" for name in timed)] for row in found],
    )
    ratios = [
        f"{label} {median(getattr(row, over) / getattr(row, under) for row in found):.2f}"
        for over, under, label in _RATIOS
        if over in timed
    ]
    print_lines(f"medians of ratios: {'; '.join(ratios)}.")
    agreements = [row.int8_top1_agreement for row in found if row.int8_top1_agreement is not None]
    if agreements:
        print_lines(f"same class in int8 on both runtimes: {min(agreements):.0%} of images or more.")
