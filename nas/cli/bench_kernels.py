"""``hwnas bench kernels``: float and integer networks on both runtimes of this machine."""

from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table

_TIMES = ("tvm_fp32_ms", "tvm_int8_ms", "onnxruntime_fp32_ms", "onnxruntime_int8_ms")


def kernels(
    space: Annotated[
        str, typer.Option("--space", help="Search space with int8 policies. Default: mobilenet_v3:tiny.")
    ] = "mobilenet_v3:tiny",
    networks: Annotated[int, typer.Option("--networks", min=1, help="Networks to time.")] = 5,
    image_size: Annotated[
        int | None,
        typer.Option("--image-size", min=8, help="Colour images of so many pixels a side. Default: the space's own."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the networks.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write one JSON row per network to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
) -> None:
    """Time networks in w8a8 and fp32 on TVM and ONNX Runtime, alternating in one run.

    The networks are the largest, the smallest and sampled ones, with random weights. For example:
    `hwnas bench kernels --space mobilenet_v3:tiny --image-size 32 --networks 20 --out kernels.json`.
    """
    from nas.home import Home  # noqa: PLC0415
    from nas.workflows.kernel_benchmark import benchmark_kernels  # noqa: PLC0415
    from search_spaces.registry import get_space  # noqa: PLC0415
    from search_spaces.task import TaskSpec  # noqa: PLC0415

    bound = get_space(space)
    if image_size is not None:
        shape = {"channels": 3, "height": image_size, "width": image_size}
        bound = get_space(space, TaskSpec.image_classification(**shape, classes=bound.task.classes))
    task = bound.task.dimensions
    folder = Home.from_environment().cache / "kernel-benchmark" / bound.name.replace(":", "-") / task
    with TerminalProgress() as progress:
        found = benchmark_kernels(bound, folder, networks, seed, progress)
    rows = [row.as_json() for row in found]
    write_rows(rows, out)
    if as_json:
        print_json(rows)
        return
    print_table(
        f"{bound.name}, {task}, instructions {found[0].isa}: milliseconds, one thread",
        ("network", *_TIMES, "same class"),
        [
            [row.summary, *(f"{getattr(row, name):.4g}" for name in _TIMES), f"{row.int8_top1_agreement:.0%}"]
            for row in found
        ],
    )
    to_float = median(row.tvm_int8_ms / row.tvm_fp32_ms for row in found)
    to_other = median(row.tvm_int8_ms / row.onnxruntime_int8_ms for row in found)
    floats = median(row.tvm_fp32_ms / row.onnxruntime_fp32_ms for row in found)
    print_lines(
        f"medians of ratios: TVM int8 / TVM fp32 {to_float:.2f}; TVM int8 / ONNX Runtime int8 {to_other:.2f}; "
        f"TVM fp32 / ONNX Runtime fp32 {floats:.2f}."
    )
