"""A search's job that is resumed after its device changed: nothing is mixed."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from hw_profiles.errors import DeviceChangedError
from nas.home import Home
from nas.jobs.queue import JobQueue
from nas.measuring.context import SearchContext
from nas.progress import SilentProgress
from nas.store.searches import SearchSpec
from nas.workflows.searching import SearchRequest, search
from nas.workspace import open_workspace
from tests.nas.store.rows import PROFILE, SPACE, measurement, put_candidates, put_device, put_supernet


def test_a_job_is_not_resumed_on_another_device(tmp_path):
    request = SearchRequest(evaluations=5)
    with open_workspace(Home(tmp_path)) as workspace:
        store = workspace.store
        put_device(store)
        supernet_id = put_supernet(store)
        job = JobQueue(store).enqueue("search", {})
        spec = SearchSpec(
            id=job.id, profile_id=PROFILE.id, supernet_id=supernet_id, space=SPACE.name,
            settings=request.as_settings(), seed=request.seed, job_id=job.id,
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
        context = SearchContext(
            workspace=workspace, supernet=workspace.supernet(), profile=upgraded, pool=None, progress=SilentProgress()
        )
        with pytest.raises(DeviceChangedError, match="start a new search"):
            search(context, request, search_id=job.id, job_id=job.id)
