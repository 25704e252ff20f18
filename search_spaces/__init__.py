"""What can be searched: genes, candidates, canonical identity, encodings, cost facts."""
