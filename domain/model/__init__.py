"""Values, ids, events and the pure decide/evolve functions per stream."""
