"""Supernet training: sandwich steps, schedules, exact resume, finished supernets on disk."""
