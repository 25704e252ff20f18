"""What a search is asked for."""

import json

from nas.metrics import Constraints, Objectives
from nas.workflows.searching import SearchRequest


def test_a_request_is_its_stored_settings():
    request = SearchRequest(
        constraints=Constraints.from_limits({"min_accuracy": 0.8}),
        objectives=Objectives.from_names(["accuracy", "size_bytes"]),
        method="tpe",
    )
    assert SearchRequest.from_settings(json.loads(json.dumps(request.as_settings()))) == request
