"""Who may come in, what they may do, and what is kept of it (IEC 63110-1 7.9.4)."""
