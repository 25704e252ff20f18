"""A precision of another package: 6-bit weights, 8-bit activations; ``w6a8 = hwnas_w6a8:W6A8``."""

from search_spaces.quant_spec import QuantSpec

W6A8 = QuantSpec(name="w6a8", weight_bits=6, activation_bits=8)
