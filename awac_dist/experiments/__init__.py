"""Experiments about the system itself."""
