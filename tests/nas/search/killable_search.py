"""A program: one screened search on the exact landscape, its journal in a database; run again, it resumes.

``python -m tests.nas.search.killable_search DATABASE_URL`` prints ``begun`` before its first generation, and
at the end the search's candidates with their figures, one JSON array.
"""

import json
import sys

from nas.search.store_journal import StoreJournal
from nas.store import open_store
from tests.nas.search.test_loop import SPACE, Landscape, Screened, search, settings
from tests.nas.store.rows import open_search, put_device, put_supernet


class Recorded:
    """The landscape, with a row in the store for each candidate, as the journal's rows refer to them."""

    def __init__(self, store):
        self.store = store

    def evaluate(self, genotypes):
        self.store.candidates.put(SPACE, genotypes)
        return Landscape().evaluate(genotypes)


def main(url):
    with open_store(url) as store:
        put_device(store)
        put_supernet(store)
        open_search(store)
        fits = Screened(size=6, rounds=1).fits
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        journal = StoreJournal(store, "search-1", SPACE)
        result = search(Recorded(store), journal, fits, settings(evaluations=24, batch_size=4))
    sys.stdout.write(json.dumps([[one.candidate_id, dict(one.metrics)] for one in result.outcomes]))


if __name__ == "__main__":
    main(sys.argv[1])
