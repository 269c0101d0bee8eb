"""The README of a bundle."""

README = """# aoc-migrate {version}, for a site without a network

Everything here works without a network. Run the commands in this folder. They write next to it, because a new
file in here would no longer match the checksums.

## 1. Check that it is complete

```sh
sha256sum --check --quiet SHA256SUMS && echo complete
```

If `SHA256SUMS` is signed (`.asc` or `.sig`), check the signature first, with the signer's key. Do both before you
install anything from here.

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

`repair` and `dedupe` show what they would do with the rows that the audit names; with `--rule all --apply` and
`--apply` they do it. Nothing is lost: moved rows and the originals of repaired ones are kept in
`advisory_raw_quarantine` (`vex_raw_quarantine`), which only its owner may read, until `--restore --apply`. No
script in this bundle touches that table, and none of its rows belongs in a bundle.

For excititor, do the same with `EXCITITOR_DATABASE_URL` and `excititor`. Without a `wheels` folder, this bundle is
for psql alone.

## 3. With psql 15 or newer alone

The comment at the top of each script explains what it does, its variables and its exit codes. The scripts commit
on their own: never add `-1`.

```sh
psql -X -d concelier -f sql/check-advisory-raw-duplicates.sql -v LIMIT=200
psql -X -d concelier -f sql/apply-aoc-constraints.sql
psql -X -d concelier -f sql/concelier-upgrade.sql -v retrofit=1
```

Excititor has `check-vex-raw-duplicates.sql` and `excititor-upgrade.sql`; `apply-aoc-constraints.sql` finds out
which database it is in. In a cluster:
`kubectl exec -i -n concelier deploy/concelier-postgres -- psql -X -d concelier < sql/FILE`

## 4. Roll back

```sh
psql -X -d concelier -f sql/apply-aoc-constraints.sql -v remove=1
psql -X -d concelier -f sql/concelier-downgrade.sql
```

The first removes the constraints and the idempotency index, the second everything. Turn off the services' guard
first (AOC_GUARD_ENABLED=false). Both leave a hold; `-v release_hold=1` ends it.

## Contents

| path | what |
| --- | --- |
| `sql/` | psql scripts |
| `wheels/`, `requirements.txt` | Python packages, each pinned by its hash |
| `docs/` | documentation, and the JSON Schema of reports |
| `reports/` | verification reports |
| `sbom.cdx.json` | bill of materials, CycloneDX 1.6 |
| `manifest.json`, `SHA256SUMS` | every file with its checksum |

The bundle contains no credentials. The verifier's belong to this site's tenant; rotate them with each new bundle.
"""
