"""Request and response bodies of agents' routes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nas.jobs.requests import MAX_INTEGER, DeviceName, Hash
from nas.store.agent_tasks import LEASE_S

Fence = Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AgentRegistration(BaseModel):
    """What an agent says of itself. Fields of newer versions are ignored, so that the version can be refused."""

    model_config = ConfigDict(extra="ignore", strict=True)

    protocol: int = Field(ge=0, le=MAX_INTEGER, description="Version of the exchange between agents and services.")
    version: Annotated[str, Field(pattern=r"^[!-~]+$", max_length=100)] = Field(description="Version of hwnas.")
    installation: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = Field(
        None, description="Random, kept by the agent: tells a restarted agent from a second one."
    )
    confinement: Literal["bubblewrap", "limits"] = Field(
        "limits", description="How artifacts are shut in while they run; `limits` does not cut them off the network."
    )
    profiles: Annotated[list[dict[str, Any]], Field(max_length=64)] = Field(
        default_factory=list,
        description="Device profiles, as `hwnas devices show --json` prints them; ids become `AGENT/RUNTIME`.",
    )


class AgentSession(BaseModel):
    """The session of a registered agent."""

    agent: str
    name: str
    session: int
    lease_s: float = LEASE_S
    devices: list[str]
    notes: list[str]
    """Sentences for the agent's log: devices that are not used, or have changed."""


class ClaimRequest(_Body):
    """An agent that is free."""

    session: Fence
    fingerprints: Annotated[dict[DeviceName, Hash], Field(max_length=64)] = Field(
        description="Of its devices as they are now, by id."
    )
    wait_s: float = Field(
        20.0, ge=0, le=60, allow_inf_nan=False, description="How long to wait for a task, in seconds."
    )


class SignedTask(BaseModel):
    """A task as the text that is signed."""

    task: str
    signature: str
    """HMAC-SHA256 of the text's UTF-8 bytes, hexadecimal."""


class Heartbeat(_Body):
    """An agent that still works on a task."""

    fence: Fence


class TaskReport(_Body):
    """How a task ended."""

    fence: Fence
    outcome: dict[str, Any] = Field(
        description="One member: `timing`, `agreement`, `artifact`, `failure` (the network's) or `fault` (not its)."
    )
