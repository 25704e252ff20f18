"""Latency and accuracy predictors with intervals."""
