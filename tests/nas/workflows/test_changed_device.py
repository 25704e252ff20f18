"""A search's job that is resumed after its device changed: nothing is mixed."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from hw_profiles.errors import DeviceChangedError, ProfileError
from nas.home import Home
from nas.jobs.errors import JobReleasedError
from nas.jobs.queue import JobQueue
from nas.measuring.context import SearchContext
from nas.measuring.random_weights import RandomWeightSource
from nas.progress import SilentProgress
from nas.store.searches import SearchSpec, StoredGeneration, Trial
from nas.workflows.job_handlers import released_if_changed
from nas.workflows.searching import SearchTask, search
from nas.workspace import open_workspace
from tests.nas.store.rows import PROFILE, SPACE, measurement, put_candidates, put_device, put_supernet


def test_a_job_that_is_resumed_on_another_device_starts_again(tmp_path):
    task = SearchTask(evaluations=5, method="random")
    with open_workspace(Home(tmp_path)) as workspace:
        store = workspace.store
        put_device(store)
        supernet_id = put_supernet(store)
        job = JobQueue(store).enqueue("search", {})
        spec = SearchSpec(
            id=job.id, profile_id=PROFILE.id, supernet_id=supernet_id, space=SPACE.name,
            settings=task.as_settings(), seed=task.seed, job_id=job.id,
        )  # fmt: skip
        began = store.searches.open(spec).created_at
        (candidate_id,) = put_candidates(store, 1)
        before, after = began - timedelta(days=1), datetime.now(UTC)
        upgraded = dataclasses.replace(PROFILE, runtime_version="9.9")
        for when, changed in ((before, False), (after, True)):
            one = dataclasses.replace(measurement(candidate_id), measured_at=when.isoformat())
            store.measurements.add(one)
            asked = (PROFILE.id, upgraded.fingerprint, began)
            assert store.measurements.was_another_device(*asked) is changed
            assert not store.measurements.was_another_device(PROFILE.id, PROFILE.fingerprint, began)
        trial = Trial(genotype=(0,), candidate_id=candidate_id, state="complete", values=(0.5, 0.5))
        store.searches.append_generation(job.id, StoredGeneration(number=0, evaluations=1, trials=(trial,), notes={}))
        progress = Heard()
        context = SearchContext(
            workspace=workspace, supernet=workspace.supernet(), profile=upgraded, pool=Pool(tmp_path), progress=progress
        )
        # No machine has this version of the runtime, so that the search gets no further than its first measurement.
        with pytest.raises(ProfileError, match=r"runtime_version = '9\.9'"):
            search(context, task, search_id=job.id, job_id=job.id)
        assert "the search starts again, with a new set of measurements; its 1 evaluations" in progress.said[0]
        assert store.searches.generations(job.id) == ()
        restarted = store.searches.get(job.id)
        assert restarted.evaluations == 0
        assert restarted.created_at > began
        assert len(store.measurements.of(PROFILE.id)) == 2, "what was measured is kept, apart"


def test_a_job_whose_device_changes_under_it_is_given_back(tmp_path):
    with open_workspace(Home(tmp_path)) as workspace:
        before = put_device(workspace.store, "phone/tvm")

        def changed():
            with released_if_changed(workspace, before):
                raise DeviceChangedError("phone/tvm has changed")

        with pytest.raises(DeviceChangedError):
            changed()  # nothing else is known of the device: a second attempt would end alike
        workspace.store.devices.put(dataclasses.replace(before, runtime_version="9.9"))
        with pytest.raises(JobReleasedError):
            changed()


class Pool:
    """Of a search that gets no further than its bench: nothing is prepared."""

    def __init__(self, folder):
        self.source = RandomWeightSource.from_space(SPACE, folder)


class Heard(SilentProgress):
    """Keeps what was said."""

    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)
