"""What a person can mend, told apart from what they cannot."""


class InputError(Exception):
    """Wrong input: its message is one line that names the place and the remedy.

    The command line prints the line and exits with code 2. Any other exception is a
    fault of ours and keeps its traceback.
    """


class ComponentDied(Exception):  # noqa: N818 - says what happened, to whoever can mend it
    """The process of a component is gone; its answers will not come."""
