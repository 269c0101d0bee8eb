"""The exception that ends a command. It carries a finding that says why, and what to type next."""

from aoc_migrate.report.model import USAGE, Finding, finding


class Abort(Exception):  # noqa: N818  (it is a verdict, not a programming error)
    """Ends the command with a finding, which becomes part of the report if there is one."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.problem)
        self.finding = finding

    @property
    def exit_code(self) -> int:
        """The exit code of the process."""
        return self.finding.exit_code

    @property
    def refused(self) -> bool:
        """Whether the command line or the configuration was refused, so that there is nothing to report."""
        return self.finding.slug == "refused"


def refused(reason: str, exit_code: int = USAGE) -> Abort:
    """Return the Abort for wrong usage or configuration. ``reason`` also says what to type."""
    return Abort(finding("refused", "", exit_code=exit_code, reason=reason))


def ended_before(error: BaseException | None) -> SystemExit | None:
    """Return what a signal had raised when ``error`` came up in the clean-up, if that is how it came up.

    A signal may leave a connection in the middle of a statement, on which no clean-up can run.
    """
    while error is not None and not isinstance(error, SystemExit):
        error = error.__context__
    return error


def unexpected(error: Exception) -> Abort:
    """Return the Abort for an unexpected error."""
    reason = (
        f"unexpected {type(error).__name__}; run the same command again with AOC_DEBUG=1, which prints a "
        "traceback, and report it."
    )
    return refused(reason, exit_code=4)
