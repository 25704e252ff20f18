"""Budgets of a search: defaults and bounds for the command line and the service."""

from typing import Final

MIN_EVALUATIONS: Final = 5
"""Predictors cannot be fitted to fewer samples."""
MIN_STAGED_EVALUATIONS: Final = 2 * MIN_EVALUATIONS
"""A search that chooses the architecture first and its policy afterwards has half of them for each."""
DEFAULT_EVALUATIONS: Final = 38
DEFAULT_SURVEY: Final = 60
"""Networks whose float accuracy is looked up before the search."""
DEFAULT_SCREEN: Final = 32
"""Architectures whose float accuracy is looked up before each batch."""
