"""Resolves ids in requests to objects, or to problem responses."""

import re
from typing import Final, TypeVar

from api.problems import invalid_field, not_found
from hw_profiles.host import resolved_device_id
from nas.store import Store
from nas.store.devices import StoredDevice
from search_spaces.errors import UnknownNameError
from search_spaces.registry import canonical_name

_DEVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@,/-]{0,199}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Found = TypeVar("Found")


def find_device(store: Store, device_id: str) -> StoredDevice | None:
    """A device by any text that a client may send."""
    return store.devices.find(resolved_device_id(device_id)) if _DEVICE.fullmatch(device_id) else None


def device_of_path(store: Store, device_id: str) -> StoredDevice:
    """The device that an address names.

    Raises:
        ProblemError: 404 ``unknown-device``.
    """
    device = find_device(store, device_id)
    if device is None:
        raise not_found("unknown-device", f"no device {device_id!r} is known; GET /v1/devices lists those that are.")
    return device


def require_stored(found: Found | None, what: str, object_id: str) -> Found:
    """What a look-up of an id found; ``what`` names its kind, such as ``data set``.

    Raises:
        ProblemError: 404, for example ``unknown-data-set``, if it found nothing.
    """
    if found is None:
        raise not_found(f"unknown-{what.replace(' ', '-')}", f"no {what} {object_id!r} is stored.")
    return found


def is_hash(text: str) -> bool:
    """Whether a text can be a SHA-256."""
    return _HASH.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether a text can be the id of a job or a search."""
    return _ID.fullmatch(text) is not None


def space_of_query(name: str | None) -> str | None:
    """The canonical name of the space that a query names, if it names one.

    Raises:
        ProblemError: 422 naming ``space``.
    """
    try:
        return None if name is None else canonical_name(name)
    except UnknownNameError as error:
        raise invalid_field("query", "space", str(error).rstrip(".")) from error
