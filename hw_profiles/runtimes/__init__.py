"""Runtimes: compile a network, run it, time it. One Protocol, one module each."""
