"""The weight-sharing supernet, its elastic layers, and the extraction of static networks."""
