"""``python -m aoc_migrate`` is the command ``aoc-migrate``."""

from aoc_migrate.cli import main

if __name__ == "__main__":
    main()
