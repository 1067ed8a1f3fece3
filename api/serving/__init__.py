"""What every request passes on its way: ids, logs, traces, figures, limits."""
