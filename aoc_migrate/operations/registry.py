"""Registers operations with Alembic: ``op.add_checks(…)`` in a revision calls a function with its executor."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

from alembic.operations import MigrateOperation, Operations
from alembic.runtime.migration import MigrationContext

from aoc_migrate.operations.step import Executor

EXECUTOR = "aoc_executor"
"""The option of Alembic's context that holds the executor of Steps."""

_P = ParamSpec("_P")
_Operation = Callable[Concatenate[Executor, _P], None]


def operation(function: _Operation[_P]) -> _Operation[_P]:
    """Register ``function`` as an operation of Alembic, under its own name."""
    name = function.__name__

    class Invoked(MigrateOperation):
        """One call of the operation in a revision."""

        def __init__(self, *values: Any, **options: Any) -> None:
            self.values, self.options = values, options

    def invoke(cls: type[Invoked], operations: Operations, *values: Any, **options: Any) -> None:
        operations.invoke(cls(*values, **options))

    invoke.__name__, invoke.__doc__ = name, function.__doc__
    setattr(Invoked, name, classmethod(invoke))
    Operations.register_operation(name)(Invoked)
    Operations.implementation_for(Invoked)(
        lambda operations, call: function(executor(operations.migration_context), *call.values, **call.options)
    )
    return function


def executor(context: MigrationContext) -> Executor:
    """Return the executor of a revision's Steps in this context."""
    found: Executor = context.opts[EXECUTOR](context)
    return found
