"""How often a key may ask and how often an address may guess.

Counted in windows of a minute, in memory and in the event loop's one thread. (The
library `limits` starts a thread of its own at nearly every request, which took a sixth
of the server's time.)
"""

import ipaddress
import math
import time
from functools import lru_cache

from api.errors import Broken, Code, Problem

REQUESTS_PER_MINUTE = 6_000
FAILURES_PER_MINUTE = 30
# Addresses told apart; beyond, all others share one limit.
_MOST_ADDRESSES = 10_000
_WINDOW_S = 60


class Windows:
    """How often each name was counted in the minute that runs."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._ends_at_s = 0.0

    def __len__(self) -> int:
        return len(self._turned())

    def __contains__(self, name: str) -> bool:
        return name in self._turned()

    def hit(self, name: str, most: int) -> bool:
        """Count a name; False when it was counted ``most`` times already."""
        counts = self._turned()
        count = counts[name] = counts.get(name, 0) + 1
        return count <= most

    def has_room(self, name: str, most: int) -> bool:
        """Whether a name could be counted once more."""
        return self._turned().get(name, 0) < most

    def ends_in_s(self) -> int:
        """Return in how many seconds all counts begin anew."""
        return max(1, math.ceil(self._ends_at_s - time.monotonic()))

    def _turned(self) -> dict[str, int]:
        now_s = time.monotonic()
        if now_s >= self._ends_at_s:
            self._counts = {}
            self._ends_at_s = now_s + _WINDOW_S
        return self._counts


class RateLimits:
    """Refuses callers that ask and addresses that fail too often."""

    def __init__(
        self,
        requests_per_minute: int = REQUESTS_PER_MINUTE,
        failures_per_minute: int = FAILURES_PER_MINUTE,
    ) -> None:
        self._requests_per_minute = requests_per_minute
        self._failures_per_minute = failures_per_minute
        self._requests = Windows()
        self._failures = Windows()

    def check_request(self, actor: str, rate_per_minute: int) -> None:
        """Count a request; raise 429 beyond the caller's rate, 0 being the default."""
        most = rate_per_minute or self._requests_per_minute
        if not self._requests.hit(actor, most):
            raise _too_many(most, self._requests.ends_in_s(), "the caller asks")

    def check_failure(self, address: str) -> None:
        """Count a failed login; raise 429 beyond what an address may fail."""
        if not self._failures.hit(self._source(address), self._failures_per_minute):
            raise self._failed_too_often()

    def check_address(self, address: str) -> None:
        """Raise 429 when an address failed too often, without counting."""
        source, most = self._source(address), self._failures_per_minute
        if not self._failures.has_room(source, most):
            raise self._failed_too_often()

    def _failed_too_often(self) -> Problem:
        most, wait_s = self._failures_per_minute, self._failures.ends_in_s()
        return _too_many(most, wait_s, "this address fails to log in")

    def _source(self, address: str) -> str:
        source = _network_of(address)
        crowded = len(self._failures) >= _MOST_ADDRESSES
        return source if source in self._failures or not crowded else "elsewhere"


@lru_cache(10_000)
def _network_of(address: str) -> str:
    """Return the address, or the /64 of IPv6, which is one household's."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _too_many(most: int, wait_s: int, who: str) -> Problem:
    rule = f"is at most {most} times a minute"
    return Problem(
        429,
        Code.TOO_MANY_REQUESTS,
        f"{who} too often: it {rule}",
        [Broken("header.authorization", "", rule)],
        headers={
            "Retry-After": str(wait_s),
            "RateLimit-Limit": str(most),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(wait_s),
        },
    )
