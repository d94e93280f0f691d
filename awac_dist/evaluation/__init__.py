"""Policies -> scores: whole episodes of the mean action, on the same seeds every time."""
