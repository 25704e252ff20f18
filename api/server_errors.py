"""Errors at the start of the service."""

from typing import ClassVar

from search_spaces.errors import NasError


class StartError(NasError):
    """The service cannot listen on its address."""

    code: ClassVar[str] = "server"


class KeysRequiredError(NasError):
    """The service would answer other machines without knowing who asks."""

    code: ClassVar[str] = "keys-required"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} can be reached from other machines, and no API key is stored; make one first:"
            " `hwnas keys create NAME`, or listen on 127.0.0.1."
        )
