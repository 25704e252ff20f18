"""Work on candidates on the nodes of a Ray cluster (extra ``ray``).

Each node needs hwnas and its data at the same paths, and the same ``HWNAS_HOME`` (a shared file system), where
prepared files go. When a node dies, Ray runs its candidates again on another one.
"""

import hashlib
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from nas.measuring.candidate_executor import CandidateExecutor, Outcome
from search_spaces.errors import NasError
from search_spaces.space import IntArray

_CONNECT_S: Final = 10.0
_RETRIES: Final = 3
"""After a node or process was lost; a candidate that kills its process costs as many."""


class RayClusterError(NasError):
    """The cluster cannot be used."""

    code: ClassVar[str] = "ray"


@contextmanager
def ray_cluster(address: str) -> Iterator["RayCluster"]:
    """A connection to a running cluster (``ray start --head``); it ends with the context.

    Raises:
        RayClusterError: if Ray is not installed or the cluster does not answer.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RayClusterError("Ray is not installed; install it with: pip install 'hwnas[ray]'.") from error
    _require_answer(address)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RayClusterError(f"the Ray cluster at {address} cannot be used: {error}") from error
    try:
        yield RayCluster()
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise RayClusterError(
            f"no Ray cluster answers at {address!r} ({error}); give HOST:PORT of its head (`ray start --head`)."
        ) from error


@dataclass(frozen=True, slots=True)
class RayCluster:
    """The cluster that this process is connected to; makes executors."""

    def __call__(
        self, start: Callable[..., None], arguments: tuple[Any, ...], *, deadline_s: float
    ) -> CandidateExecutor:
        """See :class:`nas.measuring.candidate_executor.ExecutorFactory`."""
        return RayExecutor(start, arguments, deadline_s=deadline_s)


class RayExecutor:
    """See :class:`nas.measuring.candidate_executor.CandidateExecutor`; each candidate is one Ray task on one core."""

    def __init__(self, start: Callable[..., None], arguments: tuple[Any, ...], *, deadline_s: float) -> None:
        self._preparation = pickle.dumps((start, arguments))
        self._deadline_s = deadline_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ray ends the processes of a job with it."""

    def run(
        self,
        task: Callable[[IntArray], Outcome],
        genotypes: Sequence[IntArray],
        failed: Callable[[IntArray, str], Outcome],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[Outcome]:
        """See :class:`nas.measuring.candidate_executor.CandidateExecutor`."""
        import ray  # noqa: PLC0415 - an extra
        from ray import exceptions  # noqa: PLC0415 - as above

        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(_work)
        preparation = ray.put(self._preparation)
        running = [remote.remote(preparation, task, genotype) for genotype in genotypes]
        outcomes: list[Outcome] = []
        try:
            for genotype, one in zip(genotypes, running, strict=True):
                try:
                    outcomes.append(ray.get(one, timeout=self._deadline_s))
                except exceptions.RayTaskError as error:
                    raise error.cause from error
                except exceptions.GetTimeoutError:
                    ray.cancel(one, force=True)
                    outcomes.append(failed(genotype, f"it took longer than {self._deadline_s:g} s"))
                except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError):
                    outcomes.append(failed(genotype, "the process that worked on it died"))
                except exceptions.RayError as error:  # no candidate's fault
                    raise RayClusterError(f"the Ray cluster failed: {error}") from error
                on_done(len(outcomes))
        finally:
            for one in running[len(outcomes) :]:
                ray.cancel(one, force=True)
        return outcomes


@dataclass(slots=True)
class _Prepared:
    """What this process was prepared for: by its hash."""

    key: str = ""


_prepared = _Prepared()


def _work(preparation: bytes, task: Callable[[IntArray], Any], genotype: IntArray) -> Any:  # noqa: ANN401 - any outcome
    """Runs in a process of the cluster, which serves one candidate after the other."""
    key = hashlib.sha256(preparation).hexdigest()
    if _prepared.key != key:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        import torch  # noqa: PLC0415 - the process that asks need not import it

        torch.set_num_threads(1)
        start, arguments = pickle.loads(preparation)  # noqa: S301 - from the process that asks, by Ray's own channel
        start(*arguments)
        _prepared.key = key
    return task(genotype)
