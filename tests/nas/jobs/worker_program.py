"""A worker process for tests: says each step in a line on standard output, so that a test need not wait blindly.

``python -m tests.nas.jobs.worker_program URL LEASE_S [--until-idle] [--supervised]``. A request's
``steps`` is the number of generations that the handler writes; ``ask`` makes it wait, alive, until it is stopped.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from nas.jobs import JobContext, WorkerSettings, run_worker
from nas.jobs.supervisor import ending_with_supervisor
from nas.jobs.worker import StopSignal
from nas.store import Store, open_store
from nas.store.searches import SearchSpec, StoredGeneration, Trial
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, (os.getpid(), *words))) + "\n")
    sys.stdout.flush()


def handle(store: Store, context: JobContext) -> Mapping[str, Any]:
    """Writes generations under the lease, going on where an earlier worker was killed."""
    say("claimed", context.job_id, context.lease.fence)
    search = store.searches.open(
        SearchSpec(
            id=context.job_id,
            profile_id=PROFILE.id,
            supernet_id=SUPERNET_ID,
            space=SPACE.name,
            settings=dict(context.request),
            seed=1,
            job_id=context.job_id,
        ),
        lease=context.lease,
    )
    for number in range(len(store.searches.generations(search.id)), context.request["steps"]):
        say("step", context.job_id, number, context.lease.fence)
        context.check_cancelled()
        trial = Trial(genotype=(number, context.lease.fence), candidate_id=None, state="complete", values=(0.5,))
        generation = StoredGeneration(number=number, evaluations=1, trials=(trial,), notes={})
        store.searches.append_generation(search.id, generation, lease=context.lease)
        context.report_progress({"generation": number})
    say("through", context.job_id)
    while context.request.get("ask"):
        context.check_cancelled()
    store.searches.end(search.id, "succeeded", lease=context.lease)
    say("ending", context.job_id)
    return {"pid": os.getpid(), "fence": context.lease.fence}


def main() -> None:
    url, lease_s = sys.argv[1], float(sys.argv[2])
    with open_store(url) as store:
        say("ready")
        stop = StopSignal()
        if "--supervised" in sys.argv:
            ending_with_supervisor(stop)
        run_worker(
            store,
            {"search": lambda context: handle(store, context)},
            WorkerSettings(lease_s=lease_s, poll_s=0.05, until_idle="--until-idle" in sys.argv),
            stop=stop,
        )
        say("left")


if __name__ == "__main__":
    main()
