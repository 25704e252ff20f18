"""What a search is asked for."""

import dataclasses
import json

import pytest

from nas.jobs import requests
from nas.metrics import Constraints, Objectives
from nas.workflows.searching import SearchTask
from search_spaces.errors import UsageError
from tests.nas.store.rows import SPACE


def test_a_request_is_its_stored_settings():
    task = SearchTask(
        constraints=Constraints.from_limits({"min_accuracy": 0.8}),
        objectives=Objectives.from_names(["accuracy", "size_bytes"]),
        method="tpe",
    )
    assert SearchTask.from_settings(json.loads(json.dumps(task.as_settings()))) == task


def test_a_client_can_ask_for_whatever_the_command_line_can():
    client = requests.SearchRequest(device="local-cpu/tvm", space=SPACE.name)
    missing = {field.name for field in dataclasses.fields(SearchTask)} - set(requests.SearchRequest.model_fields)
    assert missing == {"design", "constraints"}  # a client gives limits, and nobody chooses the design
    assert SearchTask.from_settings(client.model_dump(mode="json")) == SearchTask()
    other = client.model_copy(update={"precisions": ["int8"], "survey": 3, "screen": 0, "batch_size": 2})
    asked = SearchTask.from_settings(other.model_dump(mode="json"))
    assert (asked.precisions, asked.survey, asked.screen, asked.batch_size) == (("int8",), 3, 0, 2)


def test_a_search_in_two_halves_needs_a_budget_for_both():
    with pytest.raises(UsageError, match="at least 10 instead of 9"):
        SearchTask(method="integer_programming", evaluations=9).settings()
