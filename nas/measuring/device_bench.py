"""Selects the bench of a device: local or an agent's."""

from hw_profiles.bench import Bench
from hw_profiles.detect import check_runs_here
from hw_profiles.local_bench import LocalBench
from nas.measuring.agent_bench import AgentBench
from nas.measuring.anchored_bench import AnchoredBench
from nas.measuring.context import DeviceContext


def device_bench(context: DeviceContext, weights: str) -> AnchoredBench:
    """The bench for a profile; a context manager.

    Networks with the weights of each source, named by its key, are compiled in a folder of their own.

    Raises:
        ProfileError: if the profile is of another host, or this one is not as it was when the profile was made.
        AgentGoneError: if the profile is of an agent that was revoked.
    """
    if context.store.measurements.last_fingerprint(context.profile.id) not in (None, context.profile.fingerprint):
        context.progress.say(
            f"{context.profile.id} has another processor, runtime or version than when it was last measured: a new set"
            " of measurements starts, and earlier ones are not used."
        )
    task = f"compiling for {context.profile.id}"
    return AnchoredBench(
        raw_bench(context, weights),
        context.store.anchor_references,
        lambda done, total: context.progress.update(task, done, total),
        context.progress.say,
    )


def check_measurable(context: DeviceContext) -> None:
    """Checks that :func:`device_bench` gives a bench, before anything expensive is done.

    Raises:
        ProfileError: as there.
    """
    if context.store.agents.find(context.profile.device) is None:
        check_runs_here(context.profile)


def raw_bench(context: DeviceContext, weights: str) -> Bench:
    """The bench without an anchor, whose raw samples nobody corrects or stores; errors as :func:`device_bench`."""
    folder = context.workspace.compiled_folder(weights, context.profile)

    def warn(name: str, message: str) -> None:
        context.progress.say(f"candidate {name[:12]}: {message}")

    if context.store.agents.find(context.profile.device) is not None:
        return AgentBench(context.workspace, context.profile, folder, say=context.progress.say)
    check_runs_here(context.profile)
    return LocalBench(context.profile, folder, on_warning=warn)
