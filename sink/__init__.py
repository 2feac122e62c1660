"""Canonical leads, loads and dead letters into Postgres."""
