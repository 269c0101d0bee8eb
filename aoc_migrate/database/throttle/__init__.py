"""The pauses of a step that writes much: one signal a file, each a reason to pause."""
