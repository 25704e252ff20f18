"""Vision transformers: convolutional stem, attention blocks with elastic depth, width, heads and MLP ratio."""
