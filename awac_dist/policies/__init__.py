"""What acts, in NumPy: no torch, no Ray."""
