"""The merged front of a device: selects the stored fronts, merges them and caches the result."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar, Final

from nas.fronts.merged import MergedFront, StoredFront, merged_front
from nas.store.errors import FrontDamagedError
from nas.store.fronts import FrontInfo
from nas.store.store import Store
from nas.store.tenancy import EVERYTHING, Viewer
from search_spaces.errors import NasError, UsageError

_KEPT: Final = 64
_log: Final = logging.getLogger(__name__)


class NoFrontError(NasError):
    """The device has no front of what was asked."""

    code: ClassVar[str] = "no-front"


class UnclearFrontError(UsageError):
    """Fronts of several search spaces or supernets could be meant."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        """What has to be given: ``space`` or ``supernet``."""
        self.reason = message
        super().__init__(f"{field}: {message}.")


class DeviceFronts:
    """Merged fronts of a store's devices. Threads may share one.

    A front is merged when it is first asked for, and again once the device has another front.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._merged: OrderedDict[tuple[str, ...], MergedFront] = OrderedDict()

    def merged(
        self,
        profile_id: str,
        *,
        space: str | None = None,
        data: str | None = None,
        supernet: str | None = None,
        viewer: Viewer = EVERYTHING,
    ) -> MergedFront:
        """Everything verified on a device for one space, data set and supernet.

        Args:
            profile_id: the device.
            space: canonical name; needed where the device has fronts in several, unless ``supernet`` says it.
            data: name of a data set; by default that of the supernet.
            supernet: first digits of an id; by default the newest supernet that has a front there.
            viewer: who asks; only fronts that the viewer may see are merged.

        Raises:
            NoFrontError: if there is no such front.
            UnclearFrontError: if several spaces or supernets could be meant.
            FrontDamagedError: if the bytes of all of them are damaged.
        """
        infos = self._chosen(
            self._store.fronts.all(profile_id=profile_id, space=space, viewer=viewer),
            {"space": space, "data": data, "supernet": supernet},
            profile_id,
        )
        key = tuple(info.id for info in infos)
        with self._lock:
            if key in self._merged:
                self._merged.move_to_end(key)
                return self._merged[key]
        merged = merged_front(self._readable(infos))
        with self._lock:
            self._merged[key] = merged
            while len(self._merged) > _KEPT:
                self._merged.popitem(last=False)
        return merged

    def _chosen(
        self, infos: tuple[FrontInfo, ...], asked: Mapping[str, str | None], profile_id: str
    ) -> tuple[FrontInfo, ...]:
        """The fronts that are meant, newest first."""
        data, supernet = asked["data"], asked["supernet"]
        if supernet is not None:
            infos = tuple(info for info in infos if info.supernet_id.startswith(supernet))
        if data is not None:
            of_data = {one.id for one in self._store.supernets.all() if one.data_name == data}
            infos = tuple(info for info in infos if info.supernet_id in of_data)
        if not infos:
            what = ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
            raise NoFrontError(
                f"device {profile_id!r} has no front{f' of {what}' if what else ''} yet;"
                " `hwnas search` or POST /v1/searches starts a search."
            )
        spaces = sorted({info.space for info in infos})
        if len(spaces) > 1:
            raise UnclearFrontError("space", f"required: this device has fronts in {', '.join(spaces)}")
        supernets = {info.supernet_id for info in infos}
        if len(supernets) == 1:
            return infos
        if supernet is not None:
            raise UnclearFrontError("supernet", f"{len(supernets)} supernets begin with {supernet!r}; give more digits")
        newest = next(one.id for one in self._store.supernets.all(space=spaces[0]) if one.id in supernets)
        return tuple(info for info in infos if info.supernet_id == newest)

    def _readable(self, infos: tuple[FrontInfo, ...]) -> list[StoredFront]:
        """The fronts whose bytes are whole; one damaged front does not hide the others."""
        readable, damage = [], None
        for info in infos:
            try:
                body = self._store.fronts.body(info.id)
            except FrontDamagedError as error:
                damage = damage or error
                _log.warning("%s", error)
                continue
            readable.append(StoredFront(id=info.id, search_id=info.search_id, body=body))
        if damage is not None and not readable:
            raise damage
        return readable
