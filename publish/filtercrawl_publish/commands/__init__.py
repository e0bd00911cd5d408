"""The commands publish, release, verify, diff, rollback, withdraw, migrate and export; each calls one function."""
