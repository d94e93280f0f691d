"""The pieces of a run wired together: by direct calls, or as processes on Ray."""
