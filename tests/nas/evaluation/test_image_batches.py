import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.data.normalization import Normalization
from nas.data.normalized_images import NormalizedImages
from nas.evaluation.image_batches import batches, even_batches


@given(st.integers(1, 60), st.integers(1, 70))
def test_batches_are_those_of_torch_for_both_kinds(count, size):
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, 2, 1), dtype=np.uint8)
    normalization = Normalization.of(pixels)
    lazy = NormalizedImages(images=pixels, normalization=normalization)
    tensor = torch.from_numpy(normalization.apply(pixels))
    for images in (tensor, lazy):
        for ours, theirs in (
            (batches(images, size), torch.split(tensor, size)),
            (even_batches(images, size), torch.tensor_split(tensor, -(-count // size))),
        ):
            found = list(ours)
            assert len(found) == len(theirs)
            assert all(one.equal(other) for one, other in zip(found, theirs, strict=True))
