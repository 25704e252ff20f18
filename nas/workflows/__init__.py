"""Workflows behind commands and jobs; each step resumes where it was interrupted."""
