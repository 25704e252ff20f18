"""The fraction of a whole job, from the tasks that it reports."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nas.jobs.progress import STAGES, advanced
from nas.jobs.queue import JobKind

_TASKS = [stage.prefix + " x" for stages in STAGES.values() for stage in stages] + ["compiling for x"]


@given(
    kind=st.sampled_from(sorted(STAGES)),
    reports=st.lists(st.tuples(st.sampled_from(_TASKS), st.integers(0, 50), st.integers(0, 40)), max_size=30),
)
def test_it_stays_within_its_bounds_and_never_falls(kind: JobKind, reports: list[tuple[str, int, int]]) -> None:
    fraction = 0.0
    for task, done, total in reports:
        after = advanced(kind, fraction, task, done, total)
        assert fraction <= after <= 1.0
        fraction = after


def test_the_stages_of_a_job_lead_from_nothing_to_all() -> None:
    for kind, stages in STAGES.items():
        assert stages[0].start == 0.0
        assert all(one.end == other.start for one, other in pairwise(stages))
        assert advanced(kind, 0.0, stages[-1].prefix + " x", 3, 3) == 1.0
