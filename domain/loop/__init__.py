"""A zone's life: wake, problem, plan, apply, deliver (IEC 63110-1 E1)."""
