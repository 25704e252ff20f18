"""A search on exact figures, journalled in a SQLite store: a program that tests kill and start again."""

import sys

from nas.search.loop import SearchProblem, run_search
from nas.search.store_journal import StoreJournal
from nas.store.store import open_store
from tests.nas.search.test_loop import DESIGN, SPACE, Landscape, Screened, settings
from tests.nas.store.rows import PROFILE, SUPERNET_ID, put_device, put_supernet

SEARCH = "killed"


class StoredLandscape(Landscape):
    """Puts the candidates into the store, as trials refer to them."""

    def __init__(self, store):
        super().__init__()
        self._store = store

    def evaluate(self, genotypes):
        self._store.candidates.put(SPACE, genotypes)
        return super().evaluate(genotypes)


def generations(database_url):
    """Every finished generation as plain values."""
    with open_store(database_url) as store:
        return [
            (g.genotypes.tolist(), [o.candidate_id for o in g.outcomes], g.lookups and g.lookups.genotypes.tolist())
            for g in StoreJournal(store, SEARCH, SPACE).generations()
        ]


def main(database_url):
    with open_store(database_url) as store:
        put_device(store)
        put_supernet(store)
        store.searches.open(
            search_id=SEARCH,
            profile_id=PROFILE.id,
            supernet_id=SUPERNET_ID,
            space=SPACE.name,
            settings={"evaluations": 28},
            seed=1,
        )
        problem = SearchProblem(space=SPACE, design=DESIGN, evaluator=StoredLandscape(store), fits=Screened().fits)
        run_search(problem, StoreJournal(store, SEARCH, SPACE), settings())


if __name__ == "__main__":
    main(sys.argv[1])
