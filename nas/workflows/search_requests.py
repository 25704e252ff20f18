"""Search requests as they come from a job, the command line or a stored search."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from nas.metrics import Constraints, Objectives
from nas.search.outcome import Limits
from nas.workflows.searching import SearchRequest
from search_spaces.errors import UsageError


def search_request(settings: Mapping[str, Any]) -> SearchRequest:
    """A request from plain settings: those left out have their defaults.

    Args:
        settings: fields of :class:`SearchRequest` by name; ``limits`` by limit name
            (``{"max_latency_p95_ms": 8.0}``), ``objectives`` as metric names.

    Raises:
        UsageError: for settings that cannot be.
        UnknownNameError: for an unknown metric, limit or method.
    """
    known = {field.name for field in fields(SearchRequest)}
    chosen = {name: value for name, value in settings.items() if name in known}
    limits: dict[str, Any] = dict(Constraints.from_limits(settings.get("limits") or {}).as_limits())
    objectives = Objectives.from_names(settings.get("objectives") or Objectives().names)
    if objectives != Objectives():
        raise UsageError(f"objectives {', '.join(objectives.names)} are not supported yet.")
    return SearchRequest(**(chosen | {"limits": Limits(**limits)}))
