"""The context of a step on a device, as one value."""

from dataclasses import dataclass
from datetime import datetime

from hw_profiles.profile import DeviceProfile
from nas.measuring.device_measurements import DeviceMeasurements
from nas.measuring.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.store.leases import Lease
from nas.store.store import Store
from nas.store.supernets import StoredSupernet
from nas.workspace import Workspace, space_of
from search_spaces.space import SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceContext:
    """A space on a device, with its workspace, its progress reporter and the lease for writes."""

    workspace: Workspace
    space: SearchSpace
    profile: DeviceProfile
    progress: Progress
    lease: Lease | None = None
    """Of the job, if this is one."""

    @property
    def store(self) -> Store:
        """The workspace's store."""
        return self.workspace.store

    def measurements(self, *, before: datetime | None = None) -> DeviceMeasurements:
        """What is known of the space's networks on the device; frozen at a time if one is given."""
        return DeviceMeasurements(self.store, self.profile, self.space, before=before)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchContext:
    """A supernet's networks on a device, and the processes that prepare them."""

    workspace: Workspace
    supernet: StoredSupernet
    profile: DeviceProfile
    pool: PreparationPool
    progress: Progress
    lease: Lease | None = None
    """Of the job, if this is one."""

    @property
    def store(self) -> Store:
        """The workspace's store."""
        return self.workspace.store

    @property
    def space(self) -> SearchSpace:
        """The supernet's space, bound to its task."""
        return space_of(self.supernet)

    @property
    def device(self) -> DeviceContext:
        """The same without the supernet: latency does not depend on weights."""
        return DeviceContext(
            workspace=self.workspace,
            space=self.space,
            profile=self.profile,
            progress=self.progress,
            lease=self.lease,
        )
