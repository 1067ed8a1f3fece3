"""Events of access, audit and security (IEC 63110-1 7.9.4).

Streams: ``access-<key>`` for keys, ``audit-<day>`` for who did what, ``security-<day>``
for what a guard should know. Where somebody came from is sealed.
"""

from domain.model.values import Event, Instant, Sealed

ALL = "*"


class KeyIssued(Event, frozen=True):
    """An API key was issued; only the SHA-256 of its secret is kept.

    ``zones`` and ``stations`` say what it reaches, `ALL` everything of its tenant.
    ``party`` is who holds it, as sessions name their parties. ``expires_at`` 0: never;
    ``rate_per_minute`` 0: the server's default.
    """

    key_id: str
    digest: bytes
    label: str
    roles: tuple[str, ...]
    party: str = ""
    zones: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    expires_at: Instant = 0
    rate_per_minute: int = 0


class KeyRevoked(Event, frozen=True):
    """The key opens nothing any more."""

    key_id: str
    reason: str


class CommandAudited(Event, frozen=True):
    """Who gave the command that stands beside it in the same append.

    ``origin`` seals address, user agent and on whose behalf it was given.
    """

    actor: str
    roles: tuple[str, ...]
    permission: str
    route: str
    request_id: str
    origin: Sealed | None = None


class SecurityNoted(Event, frozen=True):
    """Something a guard should know: a login, good or bad, or a faulty message."""

    kind: str
    actor: str = ""
    route: str = ""
    detail: str = ""
    origin: Sealed | None = None


class SecurityCounted(Event, frozen=True):
    """How often a kind was seen from ``from_at`` to ``until_at`` beyond the first."""

    kind: str
    count: int
    from_at: Instant
    until_at: Instant
