"""A precision of another package: 4-bit weights, 8-bit activations; ``w4a8 = hwnas_w4a8:W4A8``."""

from search_spaces.quant_spec import QuantSpec

W4A8 = QuantSpec(name="w4a8", weight_bits=4, activation_bits=8)
