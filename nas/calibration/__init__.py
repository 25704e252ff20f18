"""Calibrating to a device: what is known of it and of others, and measuring what is not."""
