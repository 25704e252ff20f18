"""A readable report of fitted predictors."""

from nas.workflows.fitting import FittedPredictors


def report_lines(device: str, fitted: FittedPredictors) -> list[str]:
    """Held-out error, rank correlation and coverage of both predictors."""
    latency, accuracy = fitted.latency.held_out, fitted.accuracy.held_out
    return [
        f"latency on {device} ({fitted.latency.choice.form}, {latency.n} measurements, cross-validated): "
        f"error {latency.mape_pct:.1f} %, Spearman {latency.spearman:.3f}, "
        f"{latency.coverage_90_pct:.0f} % inside the 90 % interval; "
        f"repeatability of the device {fitted.latency.repeatability:.1%}",
        f"accuracy ({fitted.accuracy.choice.form}, {accuracy.n} evaluations, cross-validated): "
        f"error {accuracy.rmse * 100:.2f} points, Spearman {accuracy.spearman:.3f}, "
        f"{accuracy.coverage_90_pct:.0f} % inside the 90 % interval",
    ]
