"""Batches -> weights: the update loop, its data and its checkpoints."""
