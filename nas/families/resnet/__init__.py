"""ResNet: residual blocks of dense convolutions with elastic depth, width, inner width and resolution."""
