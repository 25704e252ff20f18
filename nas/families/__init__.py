"""Families of networks: each a folder with its supernet and the static networks cut from it."""
