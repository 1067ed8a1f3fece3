"""Compiled parts of the strategies."""
