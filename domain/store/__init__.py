"""The store on SQLite: ledger, samples and vault in one folder."""
