"""Parts of docs/ that `scripts/docs` makes from the source."""
