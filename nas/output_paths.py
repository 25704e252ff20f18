"""Checks that a path can become a file or a folder, before any work is done."""

import os
from pathlib import Path

from search_spaces.errors import UsageError


def check_output_folder(folder: Path, option: str) -> None:
    """Refuses a folder that cannot be made: something on its way is a file.

    Args:
        folder: there already or not.
        option: what the user set it with, for the message.

    Raises:
        UsageError: names the file.
    """
    for place in (folder, *folder.absolute().parents):
        if place.is_dir():
            return
        if os.path.lexists(place):
            raise UsageError(f"{option} {folder} cannot be a folder: {place} is no folder; give another path.")


def check_output_file(path: Path, option: str) -> None:
    """Refuses a file that cannot be written: it is a folder, or something on its way is a file.

    Raises:
        UsageError: names what is in the way.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder, not a file; give another path.")
    check_output_folder(path.parent, option)
