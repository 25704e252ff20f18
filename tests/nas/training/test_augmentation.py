import numpy as np
import pytest

from nas.training.augmentation import augment
from nas.training.randomness import Purpose, generator


@pytest.mark.parametrize("shape", [(5, 7, 1), (4, 4, 3), (1, 1, 2)])
def test_each_image_is_a_shift_and_maybe_a_flip_of_itself(shape):
    images = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    found = augment(images, generator(0, Purpose.AUGMENTATION, 3), shift_px=2, flip=True)
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    height, width, _ = shape
    for before, after in zip(images, found, strict=True):
        pads = [(min(2, side - 1),) * 2 for side in (height, width)]
        padded = np.pad(before, (*pads, (0, 0)), mode="reflect")
        crops = [
            padded[y : y + height, x : x + width] for y in range(2 * pads[0][0] + 1) for x in range(2 * pads[1][0] + 1)
        ]
        assert any((crop == after).all() or (crop[:, ::-1] == after).all() for crop in crops)


def test_without_shift_and_flip_nothing_changes():
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)
    assert (augment(images, np.random.default_rng(1), shift_px=0, flip=False) == images).all()


def test_the_same_step_draws_the_same():
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
    first, again, other = (
        augment(images, generator(7, Purpose.AUGMENTATION, step), shift_px=2, flip=True) for step in (4, 4, 5)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("side", [1, 4, 5, 40])
def test_cut_out_gives_one_square_the_mean_color(side):
    images = np.random.default_rng(0).integers(0, 256, (50, 9, 12, 3), dtype=np.uint8)
    found = augment(images, np.random.default_rng(1), shift_px=0, flip=False, cutout_px=side)
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    for before, after in zip(images, found, strict=True):
        mean = before.reshape(-1, 3).mean(axis=0).round()
        changed = (before != after).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        if len(rows):
            assert rows[-1] - rows[0] < side
            assert columns[-1] - columns[0] < side
            assert (after[changed] == mean).all()
    lost = (found != images).any(axis=3).mean()
    assert 0 < lost <= min(1.0, side * side / (9 * 12))


def test_without_cut_out_the_draws_are_as_before():
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
    whole, cut = (augment(images, np.random.default_rng(1), shift_px=2, flip=True, cutout_px=side) for side in (0, 1))
    assert (whole != cut).sum() <= 9
