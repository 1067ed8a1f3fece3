"""How often a key may ask and how often an address may guess, by `limits`."""

import ipaddress
import math
import time
from functools import lru_cache

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.errors import Broken, Code, Problem

REQUESTS_PER_MINUTE = 6_000
FAILURES_PER_MINUTE = 30
# Addresses told apart; beyond, all others share one limit.
_MOST_ADDRESSES = 10_000


class RateLimits:
    """Counts in windows of a minute, in memory: a restart forgives."""

    def __init__(
        self,
        requests_per_minute: int = REQUESTS_PER_MINUTE,
        failures_per_minute: int = FAILURES_PER_MINUTE,
    ) -> None:
        self._default = requests_per_minute
        self._failures = RateLimitItemPerMinute(failures_per_minute)
        self._requests = FixedWindowRateLimiter(MemoryStorage())
        self._addresses = MemoryStorage()
        self._guesses = FixedWindowRateLimiter(self._addresses)

    def check_request(self, actor: str, rate_per_minute: int) -> None:
        """Count a request; raise 429 beyond the caller's rate, 0 being the default."""
        item = _per_minute(rate_per_minute or self._default)
        if not self._requests.hit(item, actor):
            reset = self._requests.get_window_stats(item, actor).reset_time
            raise _too_many(item, reset, "the caller asks")

    def check_failure(self, address: str) -> None:
        """Count a failed login; raise 429 beyond what an address may fail."""
        source = self._source(address)
        if not self._guesses.hit(self._failures, source):
            self._refuse(source)

    def check_address(self, address: str) -> None:
        """Raise 429 when an address failed too often, without counting."""
        source = self._source(address)
        if not self._guesses.test(self._failures, source):
            self._refuse(source)

    def _refuse(self, source: str) -> None:
        reset = self._guesses.get_window_stats(self._failures, source).reset_time
        raise _too_many(self._failures, reset, "this address fails to log in")

    def _source(self, address: str) -> str:
        source = _network_of(address)
        crowded = len(self._addresses.storage) >= _MOST_ADDRESSES
        known = self._failures.key_for(source) in self._addresses.storage
        return source if known or not crowded else "elsewhere"


@lru_cache(1_000)
def _per_minute(rate: int) -> RateLimitItem:
    return RateLimitItemPerMinute(rate)


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


def _too_many(item: RateLimitItem, reset_time: float, who: str) -> Problem:
    wait_s = max(1, math.ceil(reset_time - time.time()))
    rule = f"is at most {item.amount} times a minute"
    return Problem(
        429,
        Code.TOO_MANY_REQUESTS,
        f"{who} too often: it {rule}",
        [Broken("header.authorization", "", rule)],
        headers={
            "Retry-After": str(wait_s),
            "RateLimit-Limit": str(item.amount),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(wait_s),
        },
    )
