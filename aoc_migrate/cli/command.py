"""A command on targets: its arguments and options become one frozen `Run`."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NoReturn

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.options import OUTPUT, SECTIONS, TICKET
from aoc_migrate.cli.output import Output
from aoc_migrate.errors import refused

if TYPE_CHECKING:
    from aoc_migrate.run.target_run import Options

_TYPED = "aoc_migrate.typed"
_UNTYPED = ("all_targets", "words", "copy", "throttle_query")  # URL and query may hold secrets
RELATIVE = re.compile(r"-[0-9]+")
OTHER_OPTIONS = {
    "--dry-run": "To see what would run without changing anything: aoc-migrate plan",
    "--sql": "To print the SQL: aoc-migrate plan TARGET --sql",
}
"""What to type instead of options of other tools."""


class GroupedHelp(click.Command):
    """A command that lists its options in sections and gets one `Output` for the options on output."""

    def __init__(self, *args: Any, shared: Sequence[click.Option] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params += [*shared, *OUTPUT]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section, the command's own first."""
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in SECTIONS}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                sections[getattr(param, "section", SECTIONS[0])].append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command with one `Output` instead of the options on output."""
        ctx.params["output"] = Output(**_pop_fields(ctx.params, Output))
        return super().invoke(ctx)


class TargetCommand(GroupedHelp):
    """A command that takes TARGET and, if ``revision`` is set, REVISION; its function gets a `Run`."""

    def __init__(self, *args: Any, revision: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.takes_revision = bool(revision)
        metavar = f"[TARGET] {revision}".strip()
        argument = click.Argument(["words"], nargs=-1, metavar=metavar, shell_complete=self._completions)
        self.params.insert(0, argument)
        self.params.append(TICKET)
        self.ignore_unknown_options = True  # -1 is a revision; other unknown options are refused here

    def _completions(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> "list[Any]":
        """Return the targets and revisions that the shell may complete a word to."""
        from aoc_migrate.database.targets import TARGETS
        from aoc_migrate.revisions.graph import history

        given = [word for word in ctx.params.get("words") or () if word in TARGETS]
        words = [] if given else list(TARGETS)
        if self.takes_revision:
            words += [revision.id for target in given or TARGETS for revision in history(target)]
            words += ["head", "base"]
        return [word for word in words if word.startswith(incomplete)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse words such as -head, of which click would take -h for itself."""
        options = [param for param in self.params if isinstance(param, click.Option)]
        valued = {name for option in options if not option.is_flag for name in option.opts}
        words = list(takewhile(lambda word: word != "--", args))
        for before, word in zip(["", *words], words, strict=False):
            if re.match(r"-[^-].", word) and not RELATIVE.fullmatch(word) and before not in valued:
                self._refuse_option(ctx, word)
        ctx.meta[_TYPED] = self.make_parser(ctx).parse_args([*args])[0]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command with its own options and one `Run`."""
        names, revision = self._targets_and_revision(ctx, ctx.params.pop("words"))
        options = replace(_options(ctx.params), typed=self._typed(ctx, revision))
        output = Output(**_pop_fields(ctx.params, Output))
        command = ctx.command_path.partition(" ")[2]
        ctx.params["run"] = Run(command, tuple(names), revision, options, output)
        return click.Command.invoke(self, ctx)

    def _typed(self, ctx: click.Context, revision: str | None) -> tuple[str, ...]:
        """Return revision and options as they were typed, without --all and those on output, quoted."""
        words, given = [revision] if revision else [], ctx.meta[_TYPED]
        for param in self.params:
            output = getattr(param, "section", None) == SECTIONS[2] or param.name in _UNTYPED
            if param.name in given and not output:
                value = given[param.name]
                for each in value if isinstance(value, list) else [value]:
                    words += [param.opts[0]] if each is True else [param.opts[0], str(each)]
        return tuple(map(shlex.quote, words))

    def _targets_and_revision(self, ctx: click.Context, words: tuple[str, ...]) -> tuple[list[str], str | None]:
        """Return the named targets, and the revision, which is the word that does not name a target."""
        from aoc_migrate.database.targets import TARGETS

        for word in words:
            if word.startswith("-") and not RELATIVE.fullmatch(word):
                self._refuse_option(ctx, word.partition("=")[0])
            if not word.strip():
                raise click.UsageError("An argument is empty. Is a variable unset?", ctx)
            if "://" in word:  # it is not repeated: it may hold a password
                raise click.UsageError("A URL is not an argument: set CONCELIER_DATABASE_URL instead.", ctx)
        targets = [word for word in words if word in TARGETS]
        rest = [word for word in words if word not in TARGETS]
        if len(targets) > 1 or len(rest) > self.takes_revision:
            if len(targets) > 1:
                raise click.UsageError("Name one target, or none for all that are configured.", ctx)
            surplus = rest[self.takes_revision]
            raise click.UsageError(f"Unexpected argument {surplus!r}. Targets are {' and '.join(TARGETS)}.", ctx)
        return targets, rest[0] if rest else None

    def _refuse_option(self, ctx: click.Context, name: str) -> NoReturn:
        if name in OTHER_OPTIONS:
            raise click.UsageError(f"No such option {name!r}. {OTHER_OPTIONS[name]}", ctx)
        known = [option for param in self.params if isinstance(param, click.Option) for option in param.opts]
        raise click.NoSuchOption(name, possibilities=known, ctx=ctx)


def _pop_fields(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Remove the fields of a dataclass from ``values`` and return them."""
    return {field.name: values.pop(field.name) for field in fields(kind) if field.name in values}


def _options(values: dict[str, Any]) -> "Options":
    """Return the shared options of a run. Raises Abort (exit 2) if they contradict each other."""
    from aoc_migrate.database.limits import Limits, read_flags
    from aoc_migrate.run.target_run import Options

    limits = Limits(**_pop_fields(values, Limits), **values.pop("max_lag", {}))
    if limits.max_stall > limits.deadline:
        raise refused("--max-stall is longer than --deadline, which leaves no time for even one attempt.")
    return Options(limits=limits, flags=read_flags(), **_pop_fields(values, Options))
