"""Options of the command line for limits and objectives, shared by the commands that take them."""

from typing import Annotated

import typer

MaxLatencyP50 = Annotated[float | None, typer.Option(help="Maximum median latency in ms.")]
MaxLatencyP95 = Annotated[float | None, typer.Option(help="Maximum p95 latency in ms.")]
MaxSize = Annotated[int | None, typer.Option(help="Maximum size of the deployed file in bytes.")]
MaxPeakMemory = Annotated[
    int | None, typer.Option(help="Maximum memory in bytes that loading and running the network adds to a process.")
]
MaxLoadTime = Annotated[
    float | None, typer.Option(help="Maximum time in ms to load the file until the network is ready to run.")
]
MinAccuracy = Annotated[
    float | None, typer.Option(help="Minimum expected accuracy on new images (a fraction, above 0 to 1).")
]
Objective = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        help="Metric to optimize; repeat it for two to four: accuracy, latency_p50_ms, latency_p95_ms, size_bytes,"
        " peak_memory_bytes, load_time_ms. Default: latency_p50_ms and accuracy.",
        show_default=False,
    ),
]
