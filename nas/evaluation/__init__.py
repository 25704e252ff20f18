"""Evaluation of networks: batch-norm recalibration and accuracy on images."""

from nas.evaluation.accuracy import accuracy, evaluate_subnet, predictions
from nas.evaluation.batch_norm import recalibrate_batch_norm

__all__ = ["accuracy", "evaluate_subnet", "predictions", "recalibrate_batch_norm"]
