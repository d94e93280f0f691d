"""The components of a run as processes on Ray."""
