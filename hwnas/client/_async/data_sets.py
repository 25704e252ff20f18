"""Data sets: uploaded in parts, continued where an upload broke off."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from hwnas.client._async.transport import AsyncTransport, Call, json_of
from hwnas.client.decoding import decode
from hwnas.client.errors import ConflictError
from hwnas.client.models import DataSet
from hwnas.client.settings import id_of, path_of

_PART_BYTES: Final = 4 << 20
_CHECK_S: Final = 300.0
"""How long the service may check a whole file."""


class AsyncDataSets:
    """``client.data_sets``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def upload(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        part_bytes: int = _PART_BYTES,
        on_progress: Callable[[DataSet], None] | None = None,
    ) -> DataSet:
        """Uploads an npz file (``x_train``, ``y_train``, ``x_test``, ``y_test``) and gives the checked data set.

        An upload of the same file under the same name that broke off is continued, also by another program.

        Args:
            path: of the file.
            name: letters, digits, ``.``, ``_`` and ``-``. Default: the file's name without its ending.
            part_bytes: sent per request.
            on_progress: called with the data set before the first part and after each.

        Raises:
            InvalidRequestError: if the file is no data set; its ``detail`` says why.
            ProblemError: 413 for a file that is too large for this service.
        """
        path = Path(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            body = {"name": name or path.stem, "size_bytes": file.tell(), "sha256": sha256}
            found = await self._transport.post(DataSet, "/v1/data-sets", body)
            while found.state == "uploading":
                if on_progress is not None:
                    on_progress(found)
                found = await self._send_part(found, file, part_bytes)
        if on_progress is not None:
            on_progress(found)
        return found

    async def get(self, data_set: DataSet | str) -> DataSet:
        """A data set, given by itself, its id or its address, as it is now."""
        return await self._transport.get(DataSet, _path(data_set))

    async def list(self, *, state: Literal["uploading", "ready", "refused"] | None = None) -> AsyncIterator[DataSet]:
        """All data sets, newest first."""
        params: dict[str, Any] = {"state": state}
        async for data_set in self._transport.pages(DataSet, "/v1/data-sets", "data_sets", params):
            yield data_set

    async def delete(self, data_set: DataSet | str) -> None:
        """Deletes a data set and its file.

        Raises:
            StillReferencedError: if a supernet was trained on it, or a training waits or runs.
        """
        await self._transport.delete(_path(data_set))

    async def _send_part(self, data_set: DataSet, file: BinaryIO, part_bytes: int) -> DataSet:
        file.seek(data_set.offset_bytes)
        call = Call(
            method="PATCH",
            path=_path(data_set),
            content=file.read(part_bytes),
            headers={"Upload-Offset": str(data_set.offset_bytes), "Content-Type": "application/octet-stream"},
            wait_s=_CHECK_S,
        )
        try:
            return decode(DataSet, json_of(await self._transport.send(call)))
        except ConflictError as error:
            if error.code not in ("wrong-offset", "upload-ended"):
                raise
            # An attempt whose answer was lost got through, in part or whole.
            return await self.get(data_set)


def _path(data_set: DataSet | str) -> str:
    return path_of("data-sets", id_of(data_set) if isinstance(data_set, str) else data_set.id)
