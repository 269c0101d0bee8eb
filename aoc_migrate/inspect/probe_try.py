"""How the probe tries an INSERT: in PL/pgSQL, which catches the error before it reaches the server's log."""

import json
from dataclasses import dataclass

from aoc_migrate.database.session import Session


@dataclass(frozen=True)
class Refusal:
    """Why a row was not stored: SQLSTATE, and constraint or column; both None if there was no error."""

    sqlstate: str | None
    name: str | None
    message: str

    def __str__(self) -> str:
        """Return the SQLSTATE, the name and the message."""
        if self.sqlstate is None:
            return self.message
        return f"{self.sqlstate}{f' {self.name}' if self.name else ''}: {self.message}"


_DISCARDED = Refusal(None, None, "the row was not stored, and no error was raised (a trigger or rule discards it)")

_SETTING = "aoc.probe"
_TRY = f"""DO $aoc_probe$
DECLARE
  statement text; stored bigint; results jsonb := '[]'; keep boolean;
  state text; broken text; missing text; message text;
BEGIN
  keep := (current_setting('{_SETTING}')::jsonb->>'keep')::boolean;
  FOR statement IN SELECT jsonb_array_elements_text(current_setting('{_SETTING}')::jsonb->'statements') LOOP
    stored := NULL;
    state := NULL;
    BEGIN
      EXECUTE statement;
      GET DIAGNOSTICS stored = ROW_COUNT;
      IF NOT keep THEN
        RAISE EXCEPTION 'taken back';
      END IF;
    EXCEPTION WHEN OTHERS OR assert_failure THEN
      IF stored IS NULL THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, broken = CONSTRAINT_NAME, missing = COLUMN_NAME,
          message = MESSAGE_TEXT;
      END IF;
    END;
    results := results || jsonb_build_object(
      'stored', stored, 'state', state, 'broken', broken, 'missing', missing, 'message', message);
  END LOOP;
  PERFORM set_config('{_SETTING}', results::text, true);
END $aoc_probe$"""
"""Variables keep their values when an error ends the subtransaction. OTHERS does not catch a cancel."""


def try_inserts(session: Session, statements: list[str], *, keep: bool) -> list[Refusal | None]:
    """Run each INSERT in a subtransaction; return why its row was not stored, or None if it was.

    With ``keep``, rows stay until the transaction ends; without it, each is rolled back at once.
    """
    session.value(
        "SELECT set_config(%s, %s, true)", (_SETTING, json.dumps({"keep": keep, "statements": statements}))
    )
    session.run(_TRY)
    return [_judged(**result) for result in json.loads(session.value("SELECT current_setting(%s)", (_SETTING,)))]


def _judged(
    stored: int | None, state: str | None, broken: str | None, missing: str | None, message: str | None
) -> Refusal | None:
    if state is None:
        return None if stored == 1 else _DISCARDED
    # PostgreSQL 18 names a constraint for NOT NULL; all versions name the column.
    name = missing if state == "23502" else broken
    return Refusal(state, name or None, (message or "no message").splitlines()[0])
