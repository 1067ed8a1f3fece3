"""Allocation strategies to compare with ours."""
