"""The root of all errors that users of hwnas see.

Every error carries a stable ``code`` (the REST problem type and the ``--json`` error
key) and an ``exit_code`` for the command line. A message is one sentence or two: what
was asked, what was found, what is allowed, what to do next.
"""

from typing import ClassVar, Final

_QUOTED: Final = 80


def quoted(value: object) -> str:
    """User input as shown in messages: at most about 80 characters, text in quotation marks."""
    if isinstance(value, str):
        return repr(value if len(value) <= _QUOTED else f"{value[:_QUOTED]}…")
    shown = repr(value)
    return shown if len(shown) <= _QUOTED else f"{shown[:_QUOTED]}…"


class NasError(Exception):
    """Root of all errors that hwnas raises on purpose."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1


class UsageError(NasError):
    """The request itself is wrong: an unknown name, a bad value, a contradiction."""

    code: ClassVar[str] = "usage"
    exit_code: ClassVar[int] = 2


class UnknownNameError(UsageError):
    """An unknown name; the message lists the known ones."""

    code: ClassVar[str] = "unknown-name"

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        self.kind = kind
        self.name = name
        self.known = known
        choices = ", ".join(known) if known else "none yet"
        super().__init__(f"unknown {kind} {quoted(name)}; known: {choices}.")


class InvalidGenotypeError(UsageError):
    """A genotype, gene value or canonical string that its space does not contain."""

    code: ClassVar[str] = "invalid-genotype"


class UnsupportedTaskError(UsageError):
    """A data set whose shape or classes a search space cannot take."""

    code: ClassVar[str] = "unsupported-task"
