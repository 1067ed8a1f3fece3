"""Benchmarks: real input, simulator, strategies and speed of the product itself."""
