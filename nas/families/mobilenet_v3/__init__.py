"""MobileNetV3: inverted bottlenecks with elastic kernel, expansion, depth, width and resolution."""
