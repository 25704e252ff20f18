"""Events of command-line searches, derived from their generations."""

from itertools import accumulate

from nas.jobs.events import JobEvent
from nas.jobs.search_statuses import SearchStatus
from nas.store import Store


def search_events(store: Store, status: SearchStatus) -> tuple[JobEvent, ...]:
    """Its start, each generation and, once it does not run any more, its state."""
    search = status.search
    if search is None:
        return ()
    generations = store.searches.generations(search.id)
    budget = search.settings.get("evaluations")
    events = [JobEvent(number=1, kind="state", data={"state": "running"}, created_at=search.created_at)]
    totals = accumulate(generation.evaluations for generation in generations)
    events += [
        JobEvent(
            number=2 + generation.number,
            kind="progress",
            data={"task": f"search on {search.profile_id}", "done": done, "total": budget},
            created_at=search.updated_at,
        )
        for generation, done in zip(generations, totals, strict=True)
    ]
    if search.state != "running":
        events.append(
            JobEvent(number=len(events) + 1, kind="state", data={"state": search.state}, created_at=search.updated_at)
        )
    return tuple(events)
