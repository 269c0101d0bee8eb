"""What revisions do to a database, as operations of Alembic: ``op.add_checks(…)`` and the like.

An operation says in Steps (`step`) what it needs, and one of three executors takes them: online with bounded
stalls (`execute`), printed for Alembic's ``--sql`` (`render`), or collected for a plan and for psql scripts
(`collect`). Released revisions depend on the SQL of the Steps, which tests/golden holds: an operation that must do
something else gets a new name.
"""
