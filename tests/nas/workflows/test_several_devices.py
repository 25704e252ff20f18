"""One search for several devices."""

from dataclasses import replace

import pytest

from nas.home import Home
from nas.measuring.context import SearchContext
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.random_weights import RandomWeightSource
from nas.metrics import Constraints
from nas.progress import SilentProgress
from nas.workflows.front_search import InfeasibleError
from nas.workflows.searching import SearchTask
from nas.workflows.several_devices import search_devices
from nas.workspace import open_workspace
from search_spaces.facts import CostFacts
from tests.nas.store.rows import PROFILE, SPACE, put_supernet


def test_limits_are_checked_on_every_device_before_one_is_searched(tmp_path):
    int8 = replace(PROFILE, precisions={"fp32": "native", "int8": "native"}, weight_bits={})
    float_only = replace(PROFILE, id="local-cpu/other", precisions={"fp32": "native"}, weight_bits={})
    in_float = 4 * CostFacts(SPACE).column("parameters", SPACE.smallest()[None])[0]
    task = SearchTask(constraints=Constraints.from_limits({"max_size_bytes": in_float - 1}))
    with open_workspace(Home(tmp_path)) as workspace:
        put_supernet(workspace.store)
        pool = PreparationPool(RandomWeightSource.from_space(SPACE, tmp_path / "random"))
        context = SearchContext(
            workspace=workspace, supernet=workspace.supernet(), profile=int8, pool=pool, progress=SilentProgress()
        )
        with pytest.raises(InfeasibleError, match=f"{in_float:.0f} bytes on local-cpu/other"):
            search_devices(context, [int8, float_only], task)
