"""Streams that only auditors read: keys, who did what, what a guard should know."""

_GUARDED = ("access-", "audit-", "security-")


def is_guarded(stream: str) -> bool:
    """Whether a stream is for auditors only (IEC 63110-1 7.9.4.6)."""
    return stream.startswith(_GUARDED)
