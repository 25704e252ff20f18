"""Supernets, training, quantization, evaluation, search, jobs, export, the command line."""
