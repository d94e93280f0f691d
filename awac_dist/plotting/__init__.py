"""Metrics files -> figures."""
