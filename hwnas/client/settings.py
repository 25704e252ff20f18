"""Settings of the client: address, key, timeouts and retries."""

import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from hwnas.client.errors import ClientError
from hwnas.client.retries import RetryPolicy
from hwnas.client.version import VERSION

SERVER_VARIABLE: Final = "HWNAS_SERVER"
KEY_VARIABLE: Final = "HWNAS_KEY"
DEFAULT_URL: Final = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Settings of requests to the service."""

    connect_s: float = 10.0
    """For a connection."""
    read_s: float = 60.0
    """For each part of an answer; requests that wait for a job have their wait on top."""
    retries: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True)
class Address:
    """The service's address and the headers of every request."""

    url: str
    """Without a slash at its end."""
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str | None, key: str | None) -> "Address":
        """The given address and key, else ``HWNAS_SERVER`` and ``HWNAS_KEY``, else a local service without a key.

        Raises:
            ClientError: if the address is not one of HTTP.
        """
        url = (url or os.environ.get(SERVER_VARIABLE) or DEFAULT_URL).rstrip("/")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ClientError(f"{url!r} is not the address of a service; write it as http://HOST:PORT or https://HOST.")
        return cls(url, key or os.environ.get(KEY_VARIABLE) or None)

    def headers(self) -> dict[str, str]:
        """Of every request."""
        headers = {"User-Agent": f"hwnas-client/{VERSION}", "Accept": "application/json, */*;q=0.5"}
        return headers if self.key is None else headers | {"Authorization": f"Bearer {self.key}"}


def path_of(*parts: str) -> str:
    """A path under ``/v1/``; the parts are quoted, except for the slashes in ids of devices."""
    return "/v1/" + "/".join(quote(part, safe="/@,:+") for part in parts)


def id_of(reference: str) -> str:
    """The id of a resource, given by itself or by its address: ``/v1/fronts/ID``."""
    return reference.rsplit("/", 1)[-1]
