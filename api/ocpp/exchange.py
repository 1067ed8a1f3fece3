"""What a module of an information exchange declares: carriers, handlers, followers.

The domain speaks of information exchanges (IEC 63110-1); which message of which version
carries one is said here and nowhere else. `docs/bindings.md` is made of the carriers.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from api.ocpp.codec import response_to
from api.ocpp.violations import Version
from api.ocpp.wire import Wire
from domain.model.values import Event
from domain.ports import Recorded

if TYPE_CHECKING:
    from api.ocpp.desk import Desk
    from api.ocpp.gateway import Gateway
    from api.ocpp.peers import Peer

ALL_VERSIONS: tuple[Version, ...] = ("1.6", "2.0.1", "2.1")
V2: tuple[Version, ...] = ("2.0.1", "2.1")


class Carrier(NamedTuple):
    """How a version carries an information exchange.

    ``fit`` is ``=`` (as meant), ``~`` (in part) or ``∅`` (nothing does: ``note`` says
    what is done, a refusal or another way). ``direction`` is ``in`` or ``out``, of us.
    """

    versions: tuple[Version, ...]
    fit: Literal["=", "~", "∅"]
    actions: tuple[str, ...] = ()
    direction: Literal["in", "out", ""] = ""
    note: str = ""


class InformationExchange(NamedTuple):
    """An information exchange of the standard, by its id (``E1.Info1``, ``7.10``)."""

    id: str
    what: str
    carriers: tuple[Carrier, ...]


# Answers a request of a station. What it records is in the work's transaction.
Handler = Callable[["Gateway", "Desk", "Peer", Any], Wire]
# Acts on a row of the ledger, after it was committed; also a work of the desk.
Follower = Callable[["Gateway", "Desk", Recorded], None]
Handlers = Mapping[tuple[Version, str], Handler]
Followers = Mapping[type[Event], Follower]


def taking(take: Callable[["Gateway", "Desk", "Peer", Any], None]) -> Handler:
    """Return the handler of what is taken in and answered without a word."""

    def handle(gateway: "Gateway", desk: "Desk", peer: "Peer", request: Any) -> Wire:
        take(gateway, desk, peer, request)
        return response_to(request)

    return handle


class Module(NamedTuple):
    """All that a module of ``exchanges`` declares."""

    exchanges: tuple[InformationExchange, ...]
    handlers: Handlers = MappingProxyType({})
    followers: Followers = MappingProxyType({})
    # Called as works: a station has connected; it was told that it is accepted.
    on_connected: Callable[["Gateway", "Desk", "Peer"], None] | None = None
    on_accepted: Callable[["Gateway", "Desk", "Peer"], None] | None = None
    # A work of its own, after our answer: its EVSE of this number has a transaction, or
    # the phases that it uses turned out to be others.
    on_transaction: Callable[["Gateway", "Desk", "Peer", int], None] | None = None
    # Nothing is left of what a message of the station was to do, as it ended in an
    # error.
    on_undone: Callable[["Gateway", "Desk", "Peer", Any], None] | None = None


def handlers_of(modules: Iterable[Module]) -> dict[tuple[Version, str], Handler]:
    """Return what answers each action; raise ValueError for one with two handlers."""
    found: dict[tuple[Version, str], Handler] = {}
    for module in modules:
        for key, handler in module.handlers.items():
            if key in found:
                raise ValueError(f"{key} has two handlers")
            found[key] = handler
    return found


def followers_of(
    modules: Iterable[Module],
) -> dict[type, tuple[Follower, ...]]:
    """Return what acts on rows of each event, in the order of the modules."""
    found: dict[type, tuple[Follower, ...]] = {}
    for module in modules:
        for kind, follower in module.followers.items():
            found[kind] = (*found.get(kind, ()), follower)
    return found
