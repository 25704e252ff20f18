"""What is run and how it is disturbed."""

import random
from dataclasses import dataclass
from typing import Any, Final, Literal

from nas.jobs.queue import JobKind

Disturbance = Literal["kill", "pause", "outage", "server_kill"]
_SPACE: Final = "mobilenet_v3:tiny"
DEVICE: Final = "local-cpu/onnxruntime"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosPlan:
    """Jobs and disturbances; the small defaults take minutes."""

    trainings: int = 8
    calibrations: int = 2
    searches: int = 2
    kills: int = 6
    """Workers that are killed (SIGKILL)."""
    pauses: int = 3
    """Workers that are stopped (SIGSTOP) for longer than their lease, and continued."""
    outages: int = 2
    """Failures of the database."""
    server_kills: int = 2
    """Services that are killed, some in the middle of a request."""
    workers: int = 2
    lease_s: float = 6.0
    references: int = 2
    """Trainings and searches, of each so many, that are run again undisturbed and compared."""
    seed: int = 0

    @classmethod
    def full(cls, seed: int = 0) -> "ChaosPlan":
        """300 jobs and 120 disturbances."""
        return cls(
            trainings=288, calibrations=6, searches=6, kills=60, pauses=30, outages=20, server_kills=10,
            references=3, seed=seed,
        )  # fmt: skip

    def jobs(self, data: str, supernet: str) -> list["PlannedJob"]:
        """The jobs, small and all different, in random order."""
        jobs = [
            PlannedJob(
                "training",
                "/v1/supernets",
                {
                    "data": data,
                    "space": _SPACE,
                    "epochs": 1,
                    "batch_size": 16,
                    "seed": number,
                    "settings": {"checkpoint_every_s": 0.0},
                },
            )
            for number in range(self.trainings)
        ]
        jobs += [
            PlannedJob(
                "calibration",
                f"/v1/devices/{DEVICE}/calibrations",
                {"space": _SPACE, "budget": 5, "seed": number, "sources": []},
            )
            for number in range(self.calibrations)
        ]
        # Random search: what it evaluates does not depend on what it measures.
        jobs += [
            PlannedJob(
                "search",
                "/v1/searches",
                {
                    "device": DEVICE,
                    "space": _SPACE,
                    "supernet": supernet,
                    "method": "random",
                    "evaluations": 5,
                    "batch_size": 2,
                    "survey": 0,
                    "screen": 0,
                    "finish_epochs": 0.0,
                    "seed": number,
                },
            )
            for number in range(self.searches)
        ]
        random.Random(self.seed).shuffle(jobs)  # noqa: S311 - nothing secret
        return jobs

    def disturbances(self) -> list[Disturbance]:
        """All of them, in random order."""
        counts: dict[Disturbance, int] = {
            "kill": self.kills,
            "pause": self.pauses,
            "outage": self.outages,
            "server_kill": self.server_kills,
        }
        found = [what for what, count in counts.items() for _ in range(count)]
        random.Random(self.seed + 1).shuffle(found)  # noqa: S311 - as above
        return found


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job as it is asked for over REST."""

    kind: JobKind
    path: str
    body: dict[str, Any]
