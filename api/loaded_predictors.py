"""A cache of predictor revisions, which are immutable."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from nas.home import Home
from nas.store.predictors import StoredPredictor

if TYPE_CHECKING:
    from predictors.accuracy import AccuracyPredictor
    from predictors.latency import LatencyPredictor

_KEPT: Final = 8
Answer = TypeVar("Answer")


class LoadedPredictors:
    """Loads a home's revisions on first use.

    Requests take turns, since a predictor keeps its last work.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LatencyPredictor | AccuracyPredictor] = OrderedDict()

    def ask(
        self, stored: StoredPredictor, question: "Callable[[LatencyPredictor | AccuracyPredictor], Answer]"
    ) -> Answer:
        """Returns the result of ``question`` on the revision.

        Raises:
            RevisionError: if its files are gone, damaged, or of another feature schema.
        """
        from nas.workflows.predictor_revisions import load_predictor  # noqa: PLC0415 - XGBoost takes a second

        with self._lock:
            if stored.id not in self._loaded:
                self._loaded[stored.id] = load_predictor(self._home, stored)
            self._loaded.move_to_end(stored.id)
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
            return question(self._loaded[stored.id])
