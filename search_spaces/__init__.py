"""Search spaces: genes, candidates, canonical identity, encodings, cost facts."""
