"""Agents and their tasks on both databases: who may, leases by the service's clock, fences, one task at a time."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hw_profiles.agent.tasks import PROTOCOL, AgentDescription, AgentTask, BuiltArtifact, Fault, TaskFile, TaskNetwork
from hw_profiles.agent.tokens import AgentToken
from hw_profiles.agreement import Agreement
from hw_profiles.bench import BenchFailure
from hw_profiles.measuring_settings import MeasuringSettings
from nas.store import Store
from nas.store.agent_tasks import LEASE_S, MOST_ATTEMPTS, WANTED_S
from nas.store.agents import ALIVE_S, StoredAgent
from nas.store.errors import (
    AgentBusyError,
    AgentSupersededError,
    NotStoredError,
    StoreConflictError,
    TaskLostError,
    UnknownAgentError,
)
from search_spaces.errors import UsageError
from tests.nas.store.rows import PROFILE

PHONE = PROFILE.on_host("phone")
DONE = Agreement(max_abs_error=0.0, top1_agreement=1.0)
FINGERPRINTS = {PHONE.id: PHONE.fingerprint}
ONNX = TaskFile(sha256="a" * 64, size_bytes=3, suffix=".onnx")


def about(installation: str = "1" * 32) -> AgentDescription:
    return AgentDescription(
        protocol=PROTOCOL, version="0.1.0", installation=installation, confinement="limits", profiles=(PHONE,)
    )


@pytest.fixture
def agent(store: Store) -> StoredAgent:
    token = store.agents.create("phone")
    found = store.agents.authenticated(token.authentication_key)
    store.agents.register(found, about())
    store.devices.put(PHONE)
    return store.agents.authenticated(token.authentication_key)


def task(agent: StoredAgent) -> AgentTask:
    tolerances = {
        "relative_tolerance": 1e-3, "quantized_tolerance": 0.1, "quantized_median_tolerance": None,
        "min_top1_agreement": 0.0,
    }  # fmt: skip
    network = TaskNetwork(name="c" * 64, quantized=False, files={"onnx": ONNX}, tolerances=tolerances)
    return AgentTask(
        number=0, fence=0, agent=agent.id, kind="compile", profile=PHONE, settings=MeasuringSettings(), network=network
    )


def add(store: Store, agent: StoredAgent) -> int:
    return store.agent_tasks.add(task(agent), {ONNX.sha256: Path("/a.onnx")})


def claim(store: Store, agent: StoredAgent) -> AgentTask | None:
    return store.agent_tasks.claim(agent, agent.session, FINGERPRINTS)


def test_a_task_is_given_out_reported_and_ends_once(store, agent):
    number = add(store, agent)
    assert store.agent_tasks.is_waiting(agent.id)
    given = claim(store, agent)
    assert given == dataclasses.replace(task(agent), number=number, fence=1, lease_s=LEASE_S)
    assert AgentTask.from_bytes(given.to_bytes()) == given
    assert not store.agent_tasks.is_waiting(agent.id)
    assert store.agent_tasks.file_of_running(agent, ONNX.sha256) == Path("/a.onnx")
    assert store.agent_tasks.file_of_running(agent, "b" * 64) is None
    outcome = BuiltArtifact(sha256="b" * 64, size_bytes=4, warnings=("slow",))
    store.agent_tasks.report(agent, number, 1, outcome)
    with pytest.raises(TaskLostError):
        store.agent_tasks.report(agent, number, 1, outcome)
    assert store.agent_tasks.poll(number).outcome == outcome
    assert store.agent_tasks.file_of_running(agent, ONNX.sha256) is None
    store.agent_tasks.discard(number)
    with pytest.raises(NotStoredError):
        store.agent_tasks.poll(number)
    assert add(store, agent) > number, "a number is never used again"


def test_an_agent_that_is_silent_loses_its_task_and_its_late_report(store, agent, clock):
    number = add(store, agent)
    assert claim(store, agent).fence == 1
    clock.forward(LEASE_S - 1)
    store.agent_tasks.extend(agent, number, 1)
    clock.forward(LEASE_S - 1)
    assert store.agent_tasks.poll(number).state == "running"
    clock.forward(2)
    assert store.agent_tasks.poll(number).state == "queued"
    with pytest.raises(TaskLostError):
        store.agent_tasks.extend(agent, number, 1)
    assert claim(store, agent).fence == 2
    with pytest.raises(TaskLostError):
        store.agent_tasks.report(agent, number, 1, DONE)
    store.agent_tasks.report(agent, number, 2, DONE)
    assert store.agent_tasks.poll(number).outcome == DONE


def test_a_report_after_the_lease_counts_while_nobody_else_got_the_task(store, agent, clock):
    number = add(store, agent)
    claim(store, agent)
    clock.forward(2 * LEASE_S)
    store.agent_tasks.report(agent, number, 1, DONE)
    assert store.agent_tasks.poll(number).outcome == DONE


def test_a_lease_ends_however_often_it_is_extended(store, agent, clock):
    number = add(store, agent)
    claim(store, agent)
    longest_s = MeasuringSettings().longest_task_s
    for _ in range(int(longest_s / 10) + 1):
        clock.forward(10)
        try:
            store.agent_tasks.extend(agent, number, 1)
        except TaskLostError:
            break
        store.agent_tasks.poll(number)
    assert store.agent_tasks.poll(number).state == "queued"


def test_a_network_that_ends_its_agent_again_and_again_fails(store, agent):
    number = add(store, agent)
    for fence in range(1, MOST_ATTEMPTS + 1):
        assert claim(store, agent).fence == fence  # asking again gives the earlier task up
    assert claim(store, agent) is None
    outcome = store.agent_tasks.poll(number).outcome
    assert isinstance(outcome, BenchFailure)
    assert (outcome.stage, "3 times" in outcome.message) == ("crash", True)


def test_a_task_whose_requester_is_gone_is_not_given_out(store, agent, clock):
    gone, waited_for = add(store, agent), add(store, agent)
    clock.forward(WANTED_S * 0.6)
    store.agent_tasks.poll(waited_for)
    clock.forward(WANTED_S * 0.6)
    assert claim(store, agent).number == waited_for
    store.agent_tasks.withdraw(waited_for)
    with pytest.raises(TaskLostError):
        store.agent_tasks.extend(agent, waited_for, 1)
    assert store.agent_tasks.poll(gone).state == "queued"
    assert claim(store, agent).number == gone, "its requester was only slow"


def test_a_device_that_changed_gets_no_task_of_before(store, agent):
    number, other = add(store, agent), add(store, agent)
    assert store.agent_tasks.claim(agent, agent.session, {PHONE.id: "0" * 64}) is None
    for one in (number, other):
        outcome = store.agent_tasks.poll(one).outcome
        assert isinstance(outcome, Fault)
        assert (outcome.code, "phone/tvm has changed" in outcome.message) == ("device-changed", True)


def test_many_claims_at_once_give_each_task_to_one(store, agent):
    numbers = [add(store, agent) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        given = list(threads.map(lambda _: claim(store, agent), range(4)))
    # Each claim gives up what the one before it got: at most one task runs at any time.
    running = [number for number in numbers if store.agent_tasks.poll(number).state == "running"]
    assert len(running) == 1
    assert all(one is not None for one in given)


def test_two_installations_of_one_agent(store, agent, clock):
    with pytest.raises(AgentBusyError, match="another agent 'phone' is connected from elsewhere"):
        store.agents.register(agent, about("2" * 32))
    number = add(store, agent)
    claim(store, agent)
    # The same installation takes over at once: its earlier process is dead.
    session = store.agents.register(agent, about())
    assert session == agent.session + 1
    assert store.agent_tasks.poll(number).state == "queued"
    with pytest.raises(AgentSupersededError):
        claim(store, agent)
    clock.forward(ALIVE_S)
    assert store.agents.register(agent, about("2" * 32)) == session + 1


def test_keys_of_others_and_of_revoked_agents_are_refused(store, agent):
    with pytest.raises(UnknownAgentError):
        store.agents.authenticated(AgentToken.new().authentication_key)
    number = add(store, agent)
    claim(store, agent)
    store.agents.revoke("phone")
    store.agents.revoke("phone")
    with pytest.raises(UnknownAgentError):
        claim(store, agent)
    with pytest.raises(TaskLostError):
        store.agent_tasks.report(agent, number, 1, DONE)
    with pytest.raises(NotStoredError):
        store.agents.revoke("laptop")


def test_the_token_is_kept_nowhere(store):
    token = store.agents.create("laptop")
    with store.database.connection() as connection:
        rows = repr(connection.exec_driver_sql("SELECT * FROM agents").all())
    assert token.reveal() not in rows
    assert token.authentication_key not in rows
    assert AgentToken.parse(token.reveal()).signing_key == token.signing_key
    assert token.reveal() not in repr(token)


@pytest.mark.parametrize("name", ["", "a/b", "local-cpu", "é", "a b", "x" * 65])
def test_names_that_no_device_can_have(store, name):
    with pytest.raises(UsageError):
        store.agents.create(name)


def test_names_that_are_taken(store):
    store.agents.create("phone")
    with pytest.raises(StoreConflictError, match="already"):
        store.agents.create("phone")
    store.devices.put(PROFILE.on_host("board"))
    with pytest.raises(UsageError, match="board/"):
        store.agents.create("board")
