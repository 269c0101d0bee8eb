"""The verbs: the order of checks, lock, audit, Alembic, convergence and verify."""
