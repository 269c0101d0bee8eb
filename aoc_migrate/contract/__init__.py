"""What every row of a raw table must satisfy, stated once and frozen by version. Pure: no database."""
