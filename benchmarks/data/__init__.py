"""Real charging sessions, the sites they happened at and the PREs given with them."""
