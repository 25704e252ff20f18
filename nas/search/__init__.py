"""Search over architecture and policy: predicted evolution, real evaluation, refit."""
