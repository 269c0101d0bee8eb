"""Why a command ends early. The message is one sentence on what is wrong and what to type."""


class AocError(Exception):
    """Wrong usage or configuration; nothing was changed.

    ``exit_code`` is the process's: 2 usage or configuration, 3 try again later,
    4 failed half way.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
