"""Read models: folds of the ledger into SQLite files, and the queries on them."""
