"""A runtime and a family as users' packages bring them: ``hwnas_reference.py``, ``hwnas_toy.py``."""
