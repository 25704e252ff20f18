"""A readable report of fitted predictors."""

from nas.workflows.fitting import FittedPredictors


def report_lines(device: str, fitted: FittedPredictors) -> list[str]:
    """Held-out error, rank correlation and coverage of both predictors."""
    latency, accuracy = fitted.latency.held_out, fitted.accuracy.held_out
    return [
        f"latency on {device} ({fitted.latency.choice.form}, {latency.n} measurements, held out by cross-validation): "
        f"error {latency.mape_pct:.1f} %, Spearman {latency.spearman:.3f}, "
        f"{latency.coverage_90_pct:.0f} % of them inside their 90 % interval; "
        f"the device itself repeats within {fitted.latency.repeatability:.1%}",
        f"accuracy ({fitted.accuracy.choice.form}, {accuracy.n} evaluations, held out by cross-validation): "
        f"error {accuracy.rmse * 100:.2f} points, Spearman {accuracy.spearman:.3f}, "
        f"{accuracy.coverage_90_pct:.0f} % of them inside their 90 % interval",
    ]
