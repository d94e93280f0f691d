"""What a person can mend, told apart from what they cannot."""


class InputError(Exception):
    """Wrong input: its message is one line that names the place and the remedy.

    The command line prints the line and exits with code 2. Any other exception is a
    fault of ours and keeps its traceback.
    """


class RunFailed(Exception):  # noqa: N818 - reads as what happened
    """A run that had begun cannot go on: one line says why, and what is left of it.

    The command line prints the line and exits with code 1; the run folder stays.
    """


class ComponentDied(Exception):  # noqa: N818 - says what happened, to whoever can mend it
    """The process of a component is gone; its answers will not come."""
