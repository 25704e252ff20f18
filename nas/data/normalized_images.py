"""Images that are normalized on access, one batch at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from nas.data.decoding import DecodedAhead
from nas.data.images import ImageFiles, Images, RowArray
from nas.data.normalization import FloatImages, Normalization


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormalizedImages:
    """uint8 images that are seen as float32 ``(n, c, h, w)``: a quarter of the memory, or none if they are files."""

    images: Images
    normalization: Normalization

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | RowArray) -> FloatImages:
        """These images, float32 ``(k, c, h, w)``."""
        return self.normalization.apply(self.images[rows])

    def batches(self, batch_size: int) -> Iterator[FloatImages]:
        """All in order, float32 ``(batch_size, c, h, w)``; the last may be smaller.

        Raises:
            DataError: names a file that cannot be read.
        """
        images = self.images
        starts = range(0, len(images), batch_size)
        if not isinstance(images, ImageFiles):
            for start in starts:
                yield self[start : start + batch_size]
            return
        ahead = DecodedAhead(lambda part: images.subset(slice(part * batch_size, (part + 1) * batch_size)))
        for part in range(len(starts)):
            yield self.normalization.apply(ahead.at(part))
