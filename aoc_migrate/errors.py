"""The one exception that ends a command: it carries the finding that says why, and what to type."""

from aoc_migrate.report.model import USAGE, Finding, finding


class Abort(Exception):  # noqa: N818  (it is a verdict, not a programming error)
    """A finding that ends the command; it becomes part of the report where there is one."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.problem)
        self.finding = finding

    @property
    def exit_code(self) -> int:
        """The exit code of the process that ends here."""
        return self.finding.exit_code

    @property
    def refused(self) -> bool:
        """Whether the command line or the configuration was refused before there was anything to report."""
        return self.finding.slug == "refused"


def refused(reason: str, exit_code: int = USAGE) -> Abort:
    """Return what ends a command whose usage or configuration is wrong: one sentence, with what to type."""
    return Abort(finding("refused", "", exit_code=exit_code, reason=reason))


def unexpected(error: Exception) -> Abort:
    """Return what ends a command on an error that nobody foresaw; AOC_DEBUG prints its traceback as well."""
    import os
    import traceback

    if os.environ.get("AOC_DEBUG"):
        traceback.print_exception(error)
    reason = (
        f"unexpected {type(error).__name__}; run the same command again with AOC_DEBUG=1, which prints a "
        "traceback, and report it."
    )
    return refused(reason, exit_code=4)
