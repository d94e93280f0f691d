"""Gymnasium tasks."""
