"""Jobs for worker processes: a queue in SQL with leases and fencing tokens."""

from nas.jobs.queue import Job, JobQueue
from nas.jobs.worker import JobContext, WorkerSettings, run_worker

__all__ = ["Job", "JobContext", "JobQueue", "WorkerSettings", "run_worker"]
