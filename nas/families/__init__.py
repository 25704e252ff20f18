"""Families of networks: each a folder with its supernet and the static networks extracted from it."""
