import subprocess
import sys

import pytest

from nas.families.registry import build_supernet, family_names, family_of, get_family, has_supernet
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.families import ENTRY_POINT_GROUP
from search_spaces.registry import get_space, space_names

ENTRY_POINTS = f"""\
[{ENTRY_POINT_GROUP}]
abacus = abacus:Abacus
broken = gone:X
greedy = abacus:Greedy
bare = abacus:Bare
"""
MODULE = """\
from nas.families.family import Family
from search_spaces.mobilenet_v3 import SPACES

class Abacus(Family):
    name = "abacus"
    spaces = {"abacus:small": SPACES["mobilenet_v3:tiny"]}
    def supernet(self, space, *, seed=0): ...
    def network(self, space, genotype): ...

class Greedy(Abacus):
    name = "greedy"

class Bare:
    name, spaces = "bare", {"bare": SPACES["mobilenet_v3:tiny"]}
"""
PROGRAM = """\
import sys
from nas.families.registry import family_names, get_family
from search_spaces.errors import NasError
from search_spaces.registry import get_space, space_names
assert {"abacus", "broken", "greedy", "mobilenet_v3"} <= set(family_names())
assert {"abacus:small", "bare", "mobilenet_v3:tiny"} <= set(space_names())
assert get_family("abacus").name == "abacus"
assert len(get_space("abacus:small").units)
assert "torch" not in sys.modules
for name in ("abacus:large", "broken:x", "greedy:small"):
    try:
        get_space(name)
    except NasError as error:
        print(error)
try:
    get_family("bare")
except NasError as error:
    print(error)
"""


def test_another_packages_family_is_found_by_its_entry_point(tmp_path):
    distribution = tmp_path / "abacus-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "abacus.py").write_text(MODULE)
    path = ":".join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    unknown, broken, greedy, bare = done.stdout.splitlines()
    assert unknown.startswith("unknown search space 'abacus:large'; known: abacus:small, bare")
    assert "'broken' (gone:X) cannot be loaded" in broken
    assert "calls itself 'greedy' and its spaces abacus:small" in greedy
    assert "does not derive from Family" in bare


def test_every_space_of_a_family_leads_back_to_it():
    for name in family_names():
        family = get_family(name)
        assert family.name == name
        assert set(family.spaces) <= set(space_names())
        for space in family.spaces:
            assert family_of(get_space(space)).name == name


def test_a_space_without_a_supernet_is_refused():
    space = get_space("nasbench201")
    assert not has_supernet(space)
    with pytest.raises(UsageError, match="nasbench201 has no supernet; give one of mobilenet_v3:imagenet,"):
        build_supernet(space)


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="unknown family 'abacus'; known: mobilenet_v3"):
        get_family("abacus")


def test_looking_up_families_and_spaces_imports_no_torch():
    program = (
        "import sys; from nas.families.registry import family_names, family_of, get_family;"
        "from search_spaces.registry import get_space, space_names;"
        "[get_family(name) for name in family_names()]; [get_space(name) for name in space_names()];"
        "assert not {'torch', 'tvm', 'onnxruntime', 'onnx'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
