"""Routes of agents, which measure on remote devices: register, claim tasks, report."""

import asyncio
import json
import time
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.agent_wire import AgentRegistration, AgentSession, ClaimRequest, Fence, Heartbeat, SignedTask, TaskReport
from api.dependencies import FilesDep, HomeDep, StoreDep, WatchesDep, refuse_parameters, refuse_repeated_parameters
from api.json_bodies import require_json
from api.lookups import is_hash
from api.problems import ProblemError, invalid_field, not_found
from hw_profiles.agent.tasks import PROTOCOL, AgentDescription, AgentTask, outcome_from_json
from hw_profiles.agent.tokens import sign
from hw_profiles.errors import MeasuringError, ProfileError
from hw_profiles.profile import DeviceProfile
from nas.jobs.requests import MAX_INTEGER
from nas.measuring.agent_devices import agent_devices, change_of
from nas.measuring.agent_uploads import MAX_ARTIFACT_BYTES, write_part
from nas.store.agents import StoredAgent
from nas.store.errors import UnknownAgentError

router = APIRouter(tags=["agents"])

_LOOK_S: Final = 0.1
"""Between looks for a task while an agent waits."""
_bearer = HTTPBearer(auto_error=False, scheme_name="agent", description="The key derived from an agent's token.")


def _agent(store: StoreDep, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> StoredAgent:
    if given is None:
        raise UnknownAgentError
    return store.agents.authenticated(given.credentials)


AgentDep = Annotated[StoredAgent, Depends(_agent)]
_JSON: Final = [Depends(refuse_parameters), Depends(require_json)]
TaskNumber = int


@router.post("/v1/agents/register", dependencies=_JSON)
def register_agent(agent: AgentDep, asked: AgentRegistration, store: StoreDep) -> AgentSession:
    """Starts a session: an agent says what it is and which devices it has.

    A session of an earlier process of the same agent ends. An agent of another version is refused (409
    `agent-version`), as is a second installation with the same token while the first is there (409 `agent-busy`).
    """
    if asked.protocol != PROTOCOL or asked.installation is None:
        raise _other_version(agent, asked)
    profiles, notes = agent_devices(agent.name, [_profile(number, row) for number, row in enumerate(asked.profiles)])
    about = AgentDescription(
        protocol=asked.protocol,
        version=asked.version,
        installation=asked.installation,
        confinement=asked.confinement,
        profiles=profiles,
    )
    session = store.agents.register(agent, about)
    for profile in profiles:
        change = change_of(store, profile)
        notes += [change] if change else []
        store.devices.put(profile)
    devices = [profile.id for profile in profiles]
    return AgentSession(agent=agent.id, name=agent.name, session=session, devices=devices, notes=notes)


@router.post(
    "/v1/agents/claim", dependencies=_JSON, response_model=SignedTask,
    responses={204: {"description": "There was nothing to do in `wait_s`."}},
)  # fmt: skip
async def claim_task(
    agent: AgentDep, asked: ClaimRequest, request: Request, store: StoreDep, watches: WatchesDep
) -> Response:
    """Gives the agent its next task, signed; waits for one if there is none.

    A task that the agent held before goes back to the queue: it does one thing at a time.
    """
    until_s = time.monotonic() + asked.wait_s
    look = True  # the first time in any case: it is then that the session and an earlier task are looked at
    while True:
        if look:
            task = await run_in_threadpool(store.agent_tasks.claim, agent, asked.session, asked.fingerprints)
            if task is not None:
                return _signed(agent, task)
        if time.monotonic() >= until_s or watches.ended or await request.is_disconnected():
            return Response(status_code=HTTPStatus.NO_CONTENT)
        await asyncio.sleep(_LOOK_S)
        look = await run_in_threadpool(store.agent_tasks.is_waiting, agent.id)


@router.post("/v1/agents/tasks/{number}/heartbeat", status_code=204, dependencies=_JSON)
def extend_task(agent: AgentDep, number: TaskNumber, asked: Heartbeat, store: StoreDep) -> None:
    """Extends a task's lease; 409 `task-lost` tells the agent to drop it."""
    store.agent_tasks.extend(agent, _number(number), asked.fence)


@router.post("/v1/agents/tasks/{number}/report", status_code=204, dependencies=_JSON)
def report_task(agent: AgentDep, number: TaskNumber, asked: TaskReport, store: StoreDep) -> None:
    """Ends a task with its outcome; 409 `task-lost` if it is no longer the agent's."""
    try:
        outcome = outcome_from_json(asked.outcome)
    except MeasuringError as error:
        raise invalid_field("body", "outcome", str(error).rstrip(".")) from error
    store.agent_tasks.report(agent, _number(number), asked.fence, outcome)


@router.get(
    "/v1/agents/files/{sha256}", dependencies=[Depends(refuse_parameters)], response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)  # fmt: skip
def get_file(agent: AgentDep, sha256: str, store: StoreDep, files: FilesDep) -> FileResponse:
    """A file of the agent's task at hand, by its hash."""
    path = store.agent_tasks.file_of_running(agent, sha256) if is_hash(sha256) else None
    if path is None:
        raise not_found("unknown-file", f"no file {sha256[:80]!r} belongs to a task of agent {agent.name!r}.")
    if not files.is_whole(path, sha256):
        raise ProblemError(HTTPStatus.GONE, "file-gone", f"file {sha256[:12]} is missing or has changed.")
    return FileResponse(path, media_type="application/octet-stream")


@router.put(
    "/v1/agents/tasks/{number}/artifact", status_code=204, dependencies=[Depends(refuse_repeated_parameters)],
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def put_artifact(
    agent: AgentDep,
    number: TaskNumber,
    fence: Annotated[Fence, Query()],
    offset: Annotated[int, Query(ge=0, le=MAX_ARTIFACT_BYTES)],
    request: Request,
    store: StoreDep,
    home: HomeDep,
) -> None:
    """Takes a part of an artifact that was compiled on the device; parts follow each other from offset 0."""
    content = await request.body()

    def keep() -> None:
        store.agent_tasks.held(agent, _number(number), fence)
        write_part(home, (number, fence), offset, content)

    await run_in_threadpool(keep)


def _profile(number: int, row: dict[str, Any]) -> DeviceProfile:
    try:
        return DeviceProfile.from_json(row)
    except ProfileError as error:
        raise invalid_field("body", f"profiles.{number}", str(error).rstrip(".")) from error


def _number(number: int) -> int:
    if not 0 < number <= MAX_INTEGER:
        raise not_found("unknown-task", f"there is no task {number}.")
    return number


def _signed(agent: StoredAgent, task: AgentTask) -> Response:
    body = task.to_bytes()
    document = {"task": body.decode(), "signature": sign(agent.signing_key, body)}
    return Response(json.dumps(document), media_type="application/json")


def _other_version(agent: StoredAgent, asked: AgentRegistration) -> ProblemError:
    older = asked.protocol < PROTOCOL
    what = "agent: pip install --upgrade 'hwnas[agent]'" if older else "service"
    detail = (
        f"agent {agent.name!r} runs hwnas {asked.version} with agent protocol {asked.protocol}, this service"
        f" {version('hwnas')} with {PROTOCOL}; upgrade the {what}."
    )
    return ProblemError(HTTPStatus.CONFLICT, "agent-version", detail)
