"""Events of command-line searches, derived from their generations."""

from collections.abc import Sequence
from itertools import accumulate

from nas.jobs.events import JobEvent
from nas.store.searches import StoredGeneration, StoredSearch


def search_events(search: StoredSearch, generations: Sequence[StoredGeneration]) -> tuple[JobEvent, ...]:
    """Its start, each generation and, once it does not run any more, its state.

    Numbers leave room for a state after each generation: a search that was interrupted and is resumed goes on with
    numbers that nobody has seen.
    """
    budget = search.settings.get("evaluations")
    events = [JobEvent(number=1, kind="state", data={"state": "running"}, created_at=search.created_at)]
    totals = accumulate(generation.evaluations for generation in generations)
    events += [
        JobEvent(
            number=2 * generation.number + 3,
            kind="progress",
            data={"task": f"search on {search.profile_id}", "done": done, "total": budget},
            created_at=search.updated_at,
        )
        for generation, done in zip(generations, totals, strict=True)
    ]
    if search.state != "running":
        events.append(
            JobEvent(
                number=2 * len(generations) + 2,
                kind="state",
                data={"state": search.state},
                created_at=search.updated_at,
            )
        )
    return tuple(events)
