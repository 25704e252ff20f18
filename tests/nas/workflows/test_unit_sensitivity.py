"""Sensitivities of units are measured in the precisions that are offered, and in no other."""

import numpy as np
import pytest

from hw_profiles.detect import resolve_profile
from nas.home import Home
from nas.measuring.context import SearchContext
from nas.progress import SilentProgress
from nas.search.restriction import Restriction
from nas.workflows.evaluating import preparation_pool
from nas.workflows.unit_sensitivity import reduced_precisions, unit_evaluations, unit_losses
from nas.workspace import open_workspace, space_of
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
SMALLEST = SPACE.to_string(SPACE.smallest())


def test_reduced_precisions_are_those_that_are_offered():
    assert reduced_precisions(SPACE) == SPACE.precisions[1:]
    assert reduced_precisions(SPACE, Restriction(precisions=("w4a8", "fp32"))) == ("w4a8",)
    assert reduced_precisions(SPACE, Restriction(precisions=("fp32",))) == ()
    assert reduced_precisions(SPACE, Restriction()) == SPACE.precisions[1:]


def test_evaluations_are_counted_per_offered_precision():
    present = len(SPACE.unit_precisions(SPACE.smallest()))
    assert unit_evaluations(SPACE, [SPACE.smallest()], ("int8",)) == present
    assert unit_evaluations(SPACE, [SPACE.smallest()], SPACE.precisions[1:]) == present * len(SPACE.precisions[1:])


@pytest.mark.usefixtures("supernet")
def test_a_precision_that_is_not_offered_is_never_chosen(hwnas):
    with open_workspace(Home(hwnas.home)) as workspace:
        supernet = workspace.supernet()
        space = space_of(supernet)
        with preparation_pool(workspace, supernet) as pool:
            context = SearchContext(
                workspace=workspace, supernet=supernet, profile=resolve_profile("local-cpu/onnxruntime"), pool=pool,
                progress=SilentProgress(),
            )  # fmt: skip
            (losses,) = unit_losses(context, space.smallest()[None], ("int8",))
    present = [unit in space.unit_precisions(space.smallest()) for unit in space.units]
    of_precision = dict(zip(space.precisions, losses[present].T, strict=True))
    assert (of_precision["fp32"] == 0).all()
    assert np.isfinite(of_precision["int8"]).all()
    assert np.isinf(of_precision["w4a8"]).all()
    assert np.isnan(losses[~np.array(present)]).all()


@pytest.mark.usefixtures("supernet")
def test_a_device_limits_the_precisions_of_the_report(hwnas):
    found = hwnas.json("sensitivity", SMALLEST, "--device", "local-cpu/onnxruntime")
    assert found["precisions"] == ["int8"]
    assert {one["precision"] for one in (*found["units"], *found["together"])} == {"int8"}
    code, out, _ = hwnas("sensitivity", SMALLEST)
    assert code == 0
    assert "evaluated: int8, w4a8, all reduced precisions of the space; --device" in " ".join(out.split())
