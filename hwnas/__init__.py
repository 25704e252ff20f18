"""Clients of the hwnas service, for other programs."""
