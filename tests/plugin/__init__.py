"""A runtime as a user's package brings it: see ``hwnas_reference.py`` and ``installing.py``."""
