"""From a PyTorch network to ONNX files: float, and integer under a per-unit policy."""
