"""The pauses of a step with many writes: one file for each signal, which is a reason to pause."""
