"""The one exception for input that is wrong, as opposed to code that is wrong."""


class InputError(ValueError):
    """What a user supplied cannot be used.

    The message is one line that names the file or field, what was found and what was expected. The commands
    print it and exit with code 2; every other exception is a programming error and keeps its traceback.
    """
