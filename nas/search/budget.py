"""How many real evaluations a search may spend: the same for the command line and the service."""

from typing import Final

MIN_EVALUATIONS: Final = 4
"""Fewer teach the predictors nothing."""
DEFAULT_EVALUATIONS: Final = 38
