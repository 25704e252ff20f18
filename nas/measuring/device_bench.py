"""The bench of a device: here, or an agent's."""

from hw_profiles.bench import Bench
from hw_profiles.local_bench import LocalBench
from nas.measuring.anchored_bench import AnchoredBench
from nas.measuring.context import DeviceContext


def device_bench(context: DeviceContext, weights: str) -> AnchoredBench:
    """The bench for a profile; a context manager.

    Networks with the weights of each source, named by its key, are compiled in a folder of their own.
    """
    task = f"compiling for {context.profile.id}"
    return AnchoredBench(
        _bench(context, weights),
        context.store.anchor_references,
        lambda done, total: context.progress.update(task, done, total),
    )


def _bench(context: DeviceContext, weights: str) -> Bench:
    folder = context.workspace.compiled_folder(weights, context.profile)

    def warn(name: str, message: str) -> None:
        context.progress.say(f"candidate {name[:12]}: {message}")

    return LocalBench(context.profile, folder, on_warning=warn)
