"""The control plane of a run, without Ray: which component does what next."""
