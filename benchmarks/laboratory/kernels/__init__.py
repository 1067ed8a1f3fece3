"""Compiled parts of the laboratory."""
