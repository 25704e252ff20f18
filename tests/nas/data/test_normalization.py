import numpy as np
import pytest

from nas.data.normalization import Normalization


@pytest.mark.parametrize("channels", [1, 3])
def test_normalized_images_have_mean_0_and_std_1(channels):
    images = np.random.default_rng(0).integers(0, 200, (2000, 5, 7, channels), dtype=np.uint8)
    normalization = Normalization.of(images)
    found = normalization.apply(images)
    assert found.shape == (2000, channels, 5, 7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(found.std((0, 2, 3)), 1, atol=1e-4)
    mean, std = (np.array(v)[:, None, None] for v in (normalization.mean, normalization.std))
    expected = (images.transpose(0, 3, 1, 2) * normalization.scale - mean) / std
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_constant_channel_stays_finite():
    images = np.full((3, 4, 4, 1), 7, dtype=np.uint8)
    assert np.isfinite(Normalization.of(images).apply(images)).all()


def test_json_round_trip():
    normalization = Normalization(scale=1 / 255, mean=(0.1, 0.2), std=(0.3, 0.4))
    assert Normalization.from_json(normalization.as_json()) == normalization
