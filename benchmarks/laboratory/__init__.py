"""The laboratory: allocation strategies compared in closed loop, offline and fast."""
