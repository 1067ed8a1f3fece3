"""Streams that few read: who did what and what a guard should know, and contracts."""

from collections.abc import Mapping

from api.security.permissions import Permission

NEEDED: Mapping[str, Permission] = {
    "access-": Permission.SECURITY_READ,
    "audit-": Permission.SECURITY_READ,
    "security-": Permission.SECURITY_READ,
    "contract-": Permission.CONTRACTS_READ,
}
_GUARDED = tuple(
    prefix for prefix, needed in NEEDED.items() if needed is Permission.SECURITY_READ
)


def is_guarded(stream: str) -> bool:
    """Whether a stream is for auditors only (IEC 63110-1 7.9.4.6)."""
    return stream.startswith(_GUARDED)
