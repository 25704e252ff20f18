"""Errors of fitting, loading and using predictors."""

from typing import ClassVar

from search_spaces.errors import NasError, UsageError


class UnfitDataError(UsageError):
    """Samples that no predictor can be fitted to: too few, not finite, not positive, all equal."""

    code: ClassVar[str] = "unfit-data"


class RevisionError(NasError):
    """A saved predictor that cannot be used: damaged, or of another space or feature schema."""

    code: ClassVar[str] = "predictor-revision"
