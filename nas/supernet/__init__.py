"""The weight-shared supernet, its elastic layers, and the static networks cut from it."""
