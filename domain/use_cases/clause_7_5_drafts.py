"""7.5 What one message of a station changes in several streams, as one append.

By `shared_path`; guard rows and timers by `clause_6_2_guards`.
"""

from domain.model import ids
from domain.model.session import Session, evolve
from domain.model.site import Evse
from domain.model.values import Event, Instant
from domain.ports import Append, Batch, Claim, System
from domain.use_cases.clause_6_2_guards import Step, batch_of
from domain.use_cases.shared_path import load_evse


class Draft:
    """Events of several streams in the order they are told, and their guard rows."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._before: dict[str, Session] = {}
        self._sessions: dict[str, Session] = {}
        self._appends: list[Append] = []
        self._claims: dict[tuple[str, str], str] = {}
        self._releases: set[Claim] = set()

    def session(self, state: Session) -> Session:
        """Return a session as the draft leaves it so far."""
        return self._sessions.get(state.session_id, state)

    def evse(self, evse_id: str) -> Evse:
        """Return an EVSE as it was before."""
        return load_evse(self.system, evse_id)

    def tell(self, state: Session, at: Instant, *events: Event) -> Session:
        """Add events of a session; return it after them."""
        session_id = state.session_id
        before = self._before.setdefault(session_id, state)
        now = self._sessions.get(session_id, state)
        for event in events:
            now = evolve(now, event, at)
        self._sessions[session_id] = now
        self._add(ids.session_stream(session_id), before.decision_version, at, events)
        return now

    def tell_evse(self, evse_id: str, at: Instant, *events: Event) -> None:
        """Add events of an EVSE."""
        version = self.evse(evse_id).decision_version
        self._add(ids.evse_stream(evse_id), version, at, events)

    def tell_transaction(
        self, stream: str, version: int, at: Instant, *events: Event
    ) -> None:
        """Add events of a station's transaction."""
        self._add(stream, version, at, events)

    def _add(
        self, stream: str, version: int, at: Instant, events: tuple[Event, ...]
    ) -> None:
        # The first of a stream is the decision, which the others come with.
        is_first = all(each.stream != stream for each in self._appends)
        expected = version if is_first else None
        self._appends.append(Append(stream, events, at, expected))

    def claim(self, kind: str, key: str, owner: str) -> None:
        """Enter a guard row, in place of whosever it is."""
        self._claims[kind, key] = owner
        held_by = self.system.log.owner(kind, key)
        if held_by not in (None, owner):
            self._releases.add(Claim(kind, key, held_by or ""))

    def release(self, kind: str, key: str, owner: str) -> None:
        """Drop a guard row."""
        if self._claims.get((kind, key)) == owner:
            del self._claims[kind, key]
        self._releases.add(Claim(kind, key, owner))

    def batch(self) -> Batch:
        """Return the one batch that records all."""
        guards = batch_of(self.system, [self._step(each) for each in self._before])
        claims = tuple(Claim(*key, owner) for key, owner in self._claims.items())
        releases = tuple(sorted(self._releases, key=lambda each: (each.kind, each.key)))
        return Batch(
            appends=tuple(self._appends),
            claims=(*guards.claims, *claims),
            releases=(*guards.releases, *releases),
            timers=guards.timers,
            timers_done=guards.timers_done,
        )

    def _step(self, session_id: str) -> Step:
        stream = ids.session_stream(session_id)
        own = [each for each in self._appends if each.stream == stream]
        events = tuple(event for each in own for event in each.events)
        whole = Append(stream, events, own[-1].occurred_at)
        return Step(self._before[session_id], self._sessions[session_id], whole)
