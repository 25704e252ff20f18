"""Networks as plain torch modules: their layers, and a module for each space that has no supernet."""
