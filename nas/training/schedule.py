"""The learning rate over the steps of a training."""

import math


def learning_rate(step: int, total_steps: int, *, peak: float, warmup_share: float) -> float:
    """Linear warm-up, then a cosine to zero; ``step`` counts from 0."""
    warmup = round(total_steps * warmup_share)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total_steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
