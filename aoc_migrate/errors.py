"""Why a command ends early. The message is one sentence on what is wrong and what to type."""


class AocError(Exception):
    """Wrong usage or configuration; nothing was changed.

    ``exit_code`` is the process's: 2 usage or configuration, 3 try again later,
    4 failed half way.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def unexpected(error: Exception) -> AocError:
    """Return what to say of an error that nobody foresaw; its traceback is printed where AOC_DEBUG is set."""
    import os
    import traceback

    if os.environ.get("AOC_DEBUG"):
        traceback.print_exception(error)
    return AocError(
        f"unexpected {type(error).__name__}; run the same command again, and report it with AOC_DEBUG=1 set, "
        "which shows where it came from.",
        exit_code=4,
    )
