"""The README of a bundle."""

README = """# aoc-migrate {version}, for a site without a network

Everything here works without a network. Commands are typed in this folder; what they write goes beside it, because
whatever is put in here no longer matches its sums.

## 1. Is it whole?

```sh
sha256sum --check --quiet SHA256SUMS && echo whole
```

The signature over `SHA256SUMS` (`.asc` or `.sig`), where there is one, is checked with its signer's key first. Do
both before you install anything from here.

## 2. With Python 3.11 or newer

```sh
python3 -m venv ../aoc
../aoc/bin/python -m pip install --require-hashes --no-index --find-links wheels -r requirements.txt
export CONCELIER_DATABASE_URL=postgresql://stella@db/concelier
../aoc/bin/aoc-migrate audit concelier
../aoc/bin/aoc-migrate repair concelier
../aoc/bin/aoc-migrate dedupe concelier
AOC_ALLOW_SUPERSEDES_RETROFIT=true ../aoc/bin/aoc-migrate upgrade concelier --evidence ../evidence
../aoc/bin/aoc-migrate verify concelier --format html --output ../verify.html
```

`repair` and `dedupe` show what could be done about the rows that the audit names; with `--rule all --apply` and
`--apply` they do it. Nothing is lost: rows that move, and the originals of those that are repaired, are kept in
`advisory_raw_quarantine` (`vex_raw_quarantine`), which its owner alone may read; `--restore` puts them back. No
script of this bundle touches that table, and no row of it belongs into a bundle.

The same with `EXCITITOR_DATABASE_URL` and `excititor`. No `wheels` folder: this bundle was made for psql alone.

## 3. With psql 15 or newer alone

Each script tells at its top what it does, its variables and its exit codes. They commit by themselves: never `-1`.

```sh
psql -X -d concelier -f sql/check-advisory-raw-duplicates.sql -v LIMIT=200
psql -X -d concelier -f sql/apply-aoc-constraints.sql
psql -X -d concelier -f sql/concelier-upgrade.sql -v retrofit=1
```

Excititor has `check-vex-raw-duplicates.sql` and `excititor-upgrade.sql`; `apply-aoc-constraints.sql` finds out
which database it is in. In a cluster:
`kubectl exec -i -n concelier deploy/concelier-postgres -- psql -X -d concelier < sql/FILE`

## 4. Back

```sh
psql -X -d concelier -f sql/apply-aoc-constraints.sql -v remove=1
psql -X -d concelier -f sql/concelier-downgrade.sql
```

The first takes constraints and idempotency index away, the second everything. Turn the services' guard off before
(AOC_GUARD_ENABLED=false). Both leave a hold, which `-v release_hold=1` ends.

## What is here

| path | what |
| --- | --- |
| `sql/` | psql scripts |
| `wheels/`, `requirements.txt` | Python packages, each pinned with its sum |
| `docs/` | documentation, and the JSON Schema of reports |
| `reports/` | verification reports made beforehand |
| `sbom.cdx.json` | bill of materials, CycloneDX 1.6 |
| `manifest.json`, `SHA256SUMS` | every file with its sum |

No credentials are in here. The verifier's belong to this site's tenant and are rotated with each new bundle.
"""
