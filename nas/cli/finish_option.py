"""The option of the command line for how long networks are finished, shared by the commands that finish some."""

from typing import Annotated

import typer

FinishEpochs = Annotated[
    float | None,
    typer.Option(
        help="Epochs that the networks of a front, and baselines beside them, are fine-tuned for before they are"
        " verified; quantized ones then get quantization-aware training for a quarter of that. 0 for none."
        " Default: 40 % of the supernet's steps, at most 1,000 steps.",
        min=0.0,
        show_default=False,
    ),
]
