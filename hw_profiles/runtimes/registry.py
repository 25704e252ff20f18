"""Runtimes by name; packages add theirs under the entry point group ``hwnas.runtimes``."""

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Final

from hw_profiles.errors import ProfileError
from hw_profiles.runtimes.onnxruntime_runtime import OnnxRuntimeRuntime
from hw_profiles.runtimes.protocol import Runtime
from hw_profiles.runtimes.tvm_runtime import TvmRuntime
from search_spaces.errors import UnknownNameError

ENTRY_POINT_GROUP: Final = "hwnas.runtimes"
"""Entry points name a class or function that gives a runtime when called without arguments."""

_BUILT_IN: Final[dict[str, Callable[[], Runtime]]] = {"onnxruntime": OnnxRuntimeRuntime, "tvm": TvmRuntime}
"""Keyed by the name of the runtime, which is also the module that must be installed."""

_KIND: Final = re.compile(r"[a-z][a-z0-9_-]{0,15}")
_TAKEN_KINDS: Final = ("weights", "manifest")


def runtime_names() -> tuple[str, ...]:
    """Names of the installed runtimes, sorted."""
    built_in = {name for name in _BUILT_IN if find_spec(name) is not None}
    return tuple(sorted(built_in | {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def get_runtime(name: str) -> Runtime:
    """A runtime by its name.

    Raises:
        UnknownNameError: if no installed runtime has this name.
        ProfileError: if another package's runtime cannot be loaded.
    """
    names = runtime_names()
    if name not in names:
        raise UnknownNameError("runtime", name, names)
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    (point, *_) = entry_points(group=ENTRY_POINT_GROUP, name=name)
    try:
        runtime: Runtime = point.load()()
        kind = runtime.artifact_kind
    except Exception as error:  # another package's code can raise anything
        raise ProfileError(
            f"runtime {name!r} ({point.value}) cannot be loaded: {error}; repair its package."
        ) from error
    if not _KIND.fullmatch(kind) or kind in _TAKEN_KINDS:
        raise ProfileError(
            f"runtime {name!r} ({point.value}) calls its artifacts {kind!r}; give up to 16 lower-case letters, digits,"
            f" - and _, but not {' or '.join(_TAKEN_KINDS)}."
        )
    return runtime


def runtimes_of_kind(artifact_kind: str) -> tuple[Runtime, ...]:
    """The installed runtimes whose artifacts are of a kind, by name."""
    runtimes = (get_runtime(name) for name in runtime_names())
    return tuple(runtime for runtime in runtimes if runtime.artifact_kind == artifact_kind)
