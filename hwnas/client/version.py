"""The client's version, which is also the service's."""

from typing import Final

VERSION: Final = "0.1.0"
