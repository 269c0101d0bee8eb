"""What revisions do to a database, each operation in a file of its own."""
