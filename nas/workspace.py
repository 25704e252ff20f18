"""The workspace of all steps: a home and a store, with their supernets and devices."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hw_profiles.detect import check_runs_here, detect_profiles, find_local_profile
from hw_profiles.errors import ProfileError
from hw_profiles.host import local_host, machine_id, resolved_device_id
from hw_profiles.profile import DeviceProfile
from nas.home import Home
from nas.store.data_sets import STORED_DATA
from nas.store.store import Store, open_store
from nas.store.supernets import StoredSupernet
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.registry import get_space
from search_spaces.space import SearchSpace

SOURCE_FILE: Final = "data.json"
"""In a supernet's folder: where its data lies."""

_HASH_START: Final = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A home with its open store."""

    home: Home
    store: Store

    def candidate_cache(self, supernet: StoredSupernet) -> Path:
        """Where a supernet's prepared candidates lie."""
        return self.home.cache / "candidates" / supernet.id[:16]

    def measuring_folder(self, profile: DeviceProfile) -> Path:
        """What is compiled for a device, as it is now; part of the cache."""
        return self.home.cache / "compiled" / profile.id.replace("/", "-") / profile.fingerprint[:16]

    def compiled_folder(self, weights: str, profile: DeviceProfile) -> Path:
        """Where candidates with some weights (a weight source's key), compiled for a device, lie until exported."""
        return self.measuring_folder(profile) / weights

    def supernet_folder(self, supernet: StoredSupernet) -> Path:
        """The folder of a supernet's weights."""
        return self.home.supernets / supernet.folder

    def data_spec(self, supernet: StoredSupernet) -> str:
        """Where the data that a supernet was trained on lies, as ``--data`` takes it.

        Raises:
            UsageError: if the supernet's folder does not say.
        """
        path = self.supernet_folder(supernet) / SOURCE_FILE
        try:
            return str(json.loads(path.read_text("utf-8"))["data"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} does not name its data ({error}); run `hwnas train` again.") from error

    def stored_data_set(self, data: str) -> str | None:
        """The id of the uploaded data set that ``stored:ID`` names; None for other data."""
        return data.removeprefix(STORED_DATA) if data.startswith(STORED_DATA) else None

    def data_source(self, data: str) -> str:
        """The same data, with ``stored:ID`` as the file of that data set, as ``load_dataset`` takes it.

        Raises:
            NotStoredError: if no such data set is stored.
            UsageError: if it is not ready.
        """
        data_set_id = self.stored_data_set(data)
        if data_set_id is None:
            return data
        data_set = self.store.data_sets.get(data_set_id)
        if data_set.state != "ready":
            raise UsageError(f"data set {data_set_id} is {data_set.state}; only one that is ready can be used.")
        return f"npz:{self.home.data_set_file(data_set.id, data_set.name)}"

    def supernet(self, wanted: str | None = None, *, space: str | None = None) -> StoredSupernet:
        """The newest supernet, or the one whose id begins with ``wanted``.

        Raises:
            UsageError: if there is none, or several ids begin so.
        """
        known = self.store.supernets.all(space=space)
        if wanted is None:
            if not known:
                raise UsageError("no supernet is trained yet; run `hwnas train` first.")
            return known[0]
        if not _HASH_START.fullmatch(wanted):
            raise UsageError(f"{wanted!r} is not a supernet id; give at least 4 of its hexadecimal digits.")
        matches = [supernet for supernet in known if supernet.id.startswith(wanted)]
        if not matches:
            raise UnknownNameError("supernet", wanted, tuple(supernet.id[:12] for supernet in known))
        if len(matches) > 1:
            raise UsageError(f"{len(matches)} supernets begin with {wanted!r}; give more digits.")
        return matches[0]

    def measurable_profiles(self) -> dict[str, DeviceProfile]:
        """Profiles that can be measured, by id: of this machine as it is now, and of agents that may connect."""
        profiles = {}
        agents = {agent.name: agent for agent in self.store.agents.all()}
        for device in self.store.devices.all():
            profile = device.profile
            if profile.device in agents:
                # Measured by its agent, even if that runs here.
                if agents[profile.device].revoked_at is None:
                    profiles[profile.id] = profile
                continue
            with contextlib.suppress(ProfileError):
                check_runs_here(profile)
                profiles[profile.id] = profile
        return profiles | {profile.id: profile for profile in detect_profiles()}

    def profile(self, profile_id: str) -> DeviceProfile:
        """A device profile: detected here, or stored before. ``local-cpu/…`` is always one of this host.

        Raises:
            HostNameTakenError: if it is of this host, and another machine that is there has its name.
            UnknownNameError: if no profile has this id.
        """
        here = find_local_profile(profile_id)
        if here is not None:
            self.store.hosts.check(local_host(), machine=machine_id())
            self.store.devices.put(here)
            return here
        stored = {device.profile.id: device.profile for device in self.store.devices.all()}
        found = stored.get(resolved_device_id(profile_id))
        if found is None:
            known = stored.keys() | {profile.id for profile in detect_profiles()}
            raise UnknownNameError("device", profile_id, tuple(sorted(known)))
        return found

    def put_local_devices(self) -> None:
        """Stores this host's profiles as they are now.

        Raises:
            HostNameTakenError: if another machine that is there has this host's name.
        """
        self.store.hosts.check(local_host(), machine=machine_id())
        for profile in detect_profiles():
            self.store.devices.put(profile)


@contextlib.contextmanager
def open_workspace(home: Home | None = None) -> Iterator[Workspace]:
    """Opens (and where needed makes) the home and its store; closed at the end."""
    home = home or Home.from_environment()
    home.root.mkdir(parents=True, exist_ok=True)
    with open_store(home.database_url) as store:
        yield Workspace(home, store)


def space_of(supernet: StoredSupernet) -> SearchSpace:
    """The search space that a supernet shares its weights over, bound to its data's task."""
    return get_space(supernet.space, supernet.task)
