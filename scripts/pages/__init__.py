"""Parts of docs/ that `scripts/docs` makes from the source, and the site that it makes of them."""
