"""Runs over values of options, on Ray Tune: which to try, trying them, and what came of it."""
