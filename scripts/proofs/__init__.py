"""What the proofs of `scripts/` share: coverage, fuzz, mutation, nightly, soak."""
