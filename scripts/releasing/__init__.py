"""Parts of `scripts/release`."""
