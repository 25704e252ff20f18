"""Agent tokens: one secret, from which an authentication key and a signing key are derived.

The authentication key is all that travels. The signing key never does, so who reads every
request can report false measurements but cannot make an agent run anything.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from search_spaces.errors import UsageError

_PREFIX: Final = "hwa_"
_TOKEN: Final = re.compile(r"hwa_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class AgentToken:
    """A token; ``repr`` does not show it."""

    _text: str

    def __repr__(self) -> str:
        return "AgentToken(…)"

    @classmethod
    def new(cls) -> "AgentToken":
        """256 random bits."""
        return cls(_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode())

    @classmethod
    def parse(cls, text: str) -> "AgentToken":
        """The token that a user gives.

        Raises:
            UsageError: if it is none; the message does not quote it.
        """
        if not _TOKEN.fullmatch(text.strip()):
            raise UsageError(
                "the token is not from `hwnas agents create`; tokens begin with hwa_ and have 47 characters."
            )
        return cls(text.strip())

    def reveal(self) -> str:
        """The text that is printed once."""
        return self._text

    @property
    def authentication_key(self) -> str:
        """The key that the agent sends, 64 hexadecimal digits."""
        return self._derived("authentication")

    @property
    def signing_key(self) -> str:
        """The key that signs tasks, 64 hexadecimal digits."""
        return self._derived("signature")

    def _derived(self, purpose: str) -> str:
        return hmac.new(self._text.encode(), f"hwnas agent {purpose}".encode(), hashlib.sha256).hexdigest()


def sign(signing_key: str, body: bytes) -> str:
    """HMAC-SHA256 of a body, hexadecimal."""
    return hmac.new(bytes.fromhex(signing_key), body, hashlib.sha256).hexdigest()


def is_signed(signing_key: str, body: bytes, signature: str) -> bool:
    """Verifies the signature of a body in constant time."""
    return hmac.compare_digest(sign(signing_key, body).encode(), signature.encode())


def key_sha256(key: str) -> str:
    """The hash of an authentication key that the service stores."""
    return hashlib.sha256(key.encode()).hexdigest()
