"""Progress bars of jobs on a terminal; needs rich."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from hwnas.client.errors import ClientError
from hwnas.client.models import Batch, Calibration, Search

if TYPE_CHECKING:
    from rich.progress import TaskID


class ProgressBar:
    """Draws a bar for each job on standard error. A context manager, and an ``on_progress`` of ``wait``.

    Example::

        with ProgressBar() as bar:
            search = client.searches.wait(search, on_progress=bar)

    Raises:
        ClientError: if rich is not installed.
    """

    def __init__(self) -> None:
        try:
            from rich import progress as bars  # noqa: PLC0415 - as above
            from rich.console import Console  # noqa: PLC0415 - optional
        except ImportError as error:
            raise ClientError("progress bars need rich: pip install 'hwnas-client[progress]'") from error
        self._bars = bars.Progress(
            bars.TextColumn("[bold]{task.description}"),
            bars.BarColumn(bar_width=24),
            bars.TaskProgressColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("{task.fields[says]}", markup=False),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, job: Search | Calibration | Batch) -> None:
        """Moves the job's bar."""
        phase = None if isinstance(job, Batch) else job.phase
        says = job.state if phase is None or job.has_ended else f"{job.state}: {phase}"
        if job.id not in self._tasks:
            self._tasks[job.id] = self._bars.add_task(f"{job.kind} {job.id[:12]}", total=1.0, says=says)
        self._bars.update(self._tasks[job.id], completed=job.total_progress, says=says)
