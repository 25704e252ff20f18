"""Server-sent events, line by line."""

import json

from hwnas.client.errors import UnexpectedAnswerError
from hwnas.client.models import JobEvent


class EventReader:
    """Makes events of the lines of a ``text/event-stream``."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def feed(self, line: str) -> JobEvent | None:
        """The event that this line ends, or None.

        Raises:
            UnexpectedAnswerError: if the event has no number or its data is not a JSON object.
        """
        if line:
            name, _, value = line.partition(":")
            if name:  # without one it is a comment, which keeps the connection alive
                self._fields[name] = value.removeprefix(" ")
            return None
        found, self._fields = self._fields, {}
        if not found:
            return None
        try:
            data = json.loads(found["data"])
            return JobEvent(number=int(found["id"]), kind=found["event"], data=dict(data))
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswerError(f"an event of the service cannot be read: {str(found)[:200]}") from error
