"""``hwnas serve`` and ``hwnas worker``: the REST service and who does its jobs."""

from typing import Annotated

import typer
