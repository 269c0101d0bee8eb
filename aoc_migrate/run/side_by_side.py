"""`--jobs 2`: targets side by side, each in a process of its own, of which a report comes back.

Processes, because Alembic keeps the context of a migration in its modules, where two threads would share it.
They are forked, so that nothing else has to be handed over.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NoReturn

from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort, refused, unexpected
from aoc_migrate.report.model import Report, finding
from aoc_migrate.run.target_run import Options, new_report

Work = Callable[[Target], Report]
Outcome = Report | Abort


def side_by_side(targets: list[Target], command: str, options: Options, work: Work) -> list[Outcome]:
    """Do ``work`` on all targets at once and return the reports in the order of the targets.

    A process that dies leaves the finding ``process-ended``. Whatever ends this process ends the others, in the
    way that SIGTERM ends them; a second signal kills them.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        raise refused("--jobs needs a system that can fork; leave it out.")
    context = multiprocessing.get_context("fork")
    processes: list[tuple[BaseProcess, Connection]] = []
    try:
        for target in targets:
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(send, target, work), daemon=True)
            process.start()
            send.close()
            processes.append((process, receive))
        return [
            _outcome(target, command, options, *running)
            for target, running in zip(targets, processes, strict=True)
        ]
    finally:
        _end([process for process, _ in processes])


def _outcome(target: Target, command: str, options: Options, process: BaseProcess, receive: Connection) -> Outcome:
    try:
        outcome: Outcome = receive.recv()
        return outcome
    except (EOFError, OSError):  # nothing came, or half of it
        process.join()
    code = process.exitcode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended by itself (exit code {code})"
    report = new_report(target, options)
    report.findings = [finding("process-ended", target.name, how=how, command=command)]
    report.failed = True
    return report


def _end(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()


def _work(send: Connection, target: Target, work: Work) -> None:
    """Do it in the new process. Ctrl-C reaches all processes of a terminal; the first one passes it on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ended)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        send.send(work(target))
    except Abort as error:
        send.send(error)
    except Exception as error:  # noqa: BLE001  (a traceback could show secrets and rows)
        send.send(unexpected(error))


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    """End once: whoever ends a whole group sends the signal here as well as to the process that passes it on."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    """A parent that was killed cannot say so: its end of a pipe closes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        signal.raise_signal(signal.SIGTERM)
