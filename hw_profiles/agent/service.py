"""The agent's HTTP client for the service."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import httpx

from hw_profiles.agent.tasks import AgentDescription, AgentTask, Outcome, outcome_as_json
from hw_profiles.agent.tokens import AgentToken, is_signed
from search_spaces.errors import NasError, UsageError

_PART_BYTES: Final = 512 << 10
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_LATER: Final = {408, 425, 429, 500, 502, 503, 504}
_HTTPS_HINT: Final = ("127.0.0.1", "localhost", "::1")


class ServiceUnreachableError(NasError):
    """The service did not answer, or cannot now; trying again later may help."""

    code: ClassVar[str] = "service-unreachable"


class ServiceRefusedError(NasError):
    """The service refuses, and would again."""

    code: ClassVar[str] = "service-refused"

    def __init__(self, problem: str, message: str) -> None:
        self.problem = problem
        """Code of its problem document."""
        super().__init__(message)


class SignatureError(NasError):
    """What claims to be a task is not signed by the service that made the token."""

    code: ClassVar[str] = "task-signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSession:
    """The session of a registered agent."""

    agent: str
    name: str
    number: int
    devices: tuple[str, ...]
    notes: tuple[str, ...]


class Service:
    """A service at a URL, for the agent of one token; a context manager, for one thread.

    Every method raises :class:`ServiceUnreachableError` and :class:`ServiceRefusedError`.
    """

    def __init__(self, url: str, token: AgentToken) -> None:
        """Connects lazily.

        Raises:
            UsageError: if it is no URL of a service.
        """
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"{url!r} is not the address of a service; give one such as https://hwnas.example:8000.")
        self.url = url.rstrip("/")
        self.is_private = parsed.scheme == "https" or parsed.host in _HTTPS_HINT
        """Whether nobody on the way can read requests."""
        self._token = token
        headers = {"Authorization": f"Bearer {token.authentication_key}"}
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT)

    def another(self) -> "Service":
        """The same service, for another thread."""
        return Service(self.url, self._token)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def register(self, about: AgentDescription) -> RegisteredSession:
        """Starts a session."""
        row = self._answer("POST", "/v1/agents/register", about.as_json()).json()
        return RegisteredSession(
            agent=row["agent"],
            name=row["name"],
            number=row["session"],
            devices=tuple(row["devices"]),
            notes=tuple(row["notes"]),
        )

    def claim(self, session: RegisteredSession, fingerprints: Mapping[str, str], wait_s: float) -> AgentTask | None:
        """The next task, or None if there was none in ``wait_s``.

        Raises:
            SignatureError: if its signature is wrong, or it is for another agent.
            TaskError: if it is signed and yet no task.
        """
        asked = {"session": session.number, "fingerprints": dict(fingerprints), "wait_s": wait_s}
        answer = self._answer("POST", "/v1/agents/claim", asked, timeout=httpx.Timeout(wait_s + 30.0, connect=10.0))
        if answer.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            document = answer.json()
            body, signature = document["task"].encode(), str(document["signature"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SignatureError(f"{self.url} sent something other than a signed task.") from error
        if not is_signed(self._token.signing_key, body, signature):
            raise SignatureError(f"{self.url} sent a task with a wrong signature, which was not run.")
        task = AgentTask.from_bytes(body)
        if task.agent != session.agent:
            raise SignatureError(f"{self.url} sent another agent's task, which was not run.")
        return task

    def heartbeat(self, task: AgentTask) -> None:
        """Reports that the task is still in progress."""
        self._answer("POST", f"/v1/agents/tasks/{task.number}/heartbeat", {"fence": task.fence})

    def report(self, task: AgentTask, outcome: Outcome) -> None:
        """Ends the task."""
        body = {"fence": task.fence, "outcome": outcome_as_json(outcome)}
        self._answer("POST", f"/v1/agents/tasks/{task.number}/report", body)

    def download(self, sha256: str) -> Iterator[bytes]:
        """The bytes of a file of the task at hand, in pieces."""
        try:
            with self._client.stream("GET", f"/v1/agents/files/{sha256}") as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    self._check(answer)
                yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def upload(self, task: AgentTask, artifact: Path) -> None:
        """Sends an artifact that was compiled here."""
        address = f"/v1/agents/tasks/{task.number}/artifact"
        with artifact.open("rb") as file:
            offset = 0
            while part := file.read(_PART_BYTES):
                query = {"fence": task.fence, "offset": offset}
                try:
                    answer = self._client.put(address, params=query, content=part)
                except httpx.TransportError as error:
                    raise self._unreachable(error) from error
                self._check(answer)
                offset += len(part)

    def _answer(
        self, method: str, address: str, body: Mapping[str, Any], timeout: httpx.Timeout = _TIMEOUT
    ) -> httpx.Response:
        try:
            answer = self._client.request(method, address, json=body, timeout=timeout)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        self._check(answer)
        return answer

    def _unreachable(self, error: Exception) -> ServiceUnreachableError:
        return ServiceUnreachableError(f"{self.url} does not answer ({error or type(error).__name__}).")

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        try:
            problem = answer.json()
            code, detail = str(problem["type"]).rpartition(":")[2], str(problem["detail"])
        except (json.JSONDecodeError, KeyError, TypeError):
            code, detail = "", f"{self.url} answered {answer.status_code}; is it a service of hwnas?"
        if answer.status_code in _LATER:
            raise ServiceUnreachableError(f"{self.url} cannot answer now: {detail}")
        raise ServiceRefusedError(code, detail)
