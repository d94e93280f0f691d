"""What a person can mend, told apart from what they cannot."""


class InputError(Exception):
    """Wrong input: its message is one line that names the place and the remedy.

    The command line prints the line and exits with code 2. Any other exception is a
    fault of ours and keeps its traceback.
    """
