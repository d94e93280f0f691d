"""Events of a run -> screen and files."""
