"""Devices: profiles, runtimes, and measuring compiled networks on them."""
