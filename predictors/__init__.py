"""From features to latency and accuracy, with intervals."""
