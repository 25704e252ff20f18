"""Quantized networks on TVM in integers: uint8 activations channels last, int8 weights, int32 sums."""
