"""Compiled kernels: arrays only, no checks, nothing raised."""
