"""Artifacts: files of networks, by hash."""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import httpx

from hwnas.client._async.transport import AsyncTransport, Call, failure_of
from hwnas.client.errors import DamagedDownloadError
from hwnas.client.models import Artifact, FrontMember
from hwnas.client.settings import id_of, path_of

_FILE_NAME: Final = re.compile(r'filename="([A-Za-z0-9_-][A-Za-z0-9._-]*)"')


class AsyncArtifacts:
    """``client.artifacts``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def read(self, artifact: Artifact | str) -> bytes:
        """The bytes of a file, given by itself, its SHA-256 or its address.

        Raises:
            DamagedDownloadError: if other bytes came.
            GoneError: if the service's own file is missing or damaged.
        """
        sha256 = _sha256(artifact)
        content = (await self._transport.send(Call(path=path_of("artifacts", sha256)))).content
        _check(hashlib.sha256(content).hexdigest(), sha256)
        return content

    async def download(self, artifact: Artifact | str, target: Path | str) -> Path:
        """Downloads a file, whose place is taken only by a whole file with the right hash.

        A download that is interrupted goes on where it stopped.

        Args:
            artifact: itself, its SHA-256 or its address.
            target: the file, or an existing folder, where its name becomes its hash and its ending.

        Raises:
            DamagedDownloadError: if other bytes came.
            GoneError: if the service's own file is missing or damaged.
        """
        sha256, target = _sha256(artifact), Path(target)
        folder = target if target.is_dir() else target.parent
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".hwnas-", delete=False) as file:
            temporary = Path(file.name)
            try:
                name = await self._fill(file, sha256)
                file.close()
                temporary.chmod(0o644)
                return temporary.replace(target / name if target.is_dir() else target)
            finally:
                temporary.unlink(missing_ok=True)

    async def download_member(self, member: FrontMember, folder: Path | str) -> Mapping[str, Path]:
        """Downloads all files of a front's member into a folder, which is made if missing; the paths by kind."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        return {kind: await self.download(path, folder) for kind, path in member.artifacts.items()}

    async def _fill(self, file: IO[bytes], sha256: str) -> str:
        """Writes the file's bytes; gives its name."""
        digest, attempt = hashlib.sha256(), 1
        while True:
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={file.tell()}-"} if file.tell() else {})
            try:
                async with self._transport.stream(Call(path=path_of("artifacts", sha256), headers=headers)) as response:
                    if response.status_code != httpx.codes.PARTIAL_CONTENT:
                        file.seek(0)
                        file.truncate()
                        digest = hashlib.sha256()
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
                        digest.update(chunk)
                        attempt = 1
                    _check(digest.hexdigest(), sha256)
                    found = _FILE_NAME.search(response.headers.get("content-disposition", ""))
                    return sha256 if found is None else found.group(1)
            except httpx.RequestError as error:
                await self._transport.pause(failure_of(error), attempt)
                attempt += 1


def _sha256(artifact: Artifact | str) -> str:
    return id_of(artifact) if isinstance(artifact, str) else artifact.sha256


def _check(found: str, sha256: str) -> None:
    if found != sha256:
        raise DamagedDownloadError(f"the bytes of artifact {sha256} have the SHA-256 {found}; download it again.")
