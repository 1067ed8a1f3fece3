"""Two tenants and several partners who must not learn of each other: ids to walk."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from fastapi import FastAPI

from api.app import create_app
from api.rest.reading import Context
from api.security.passing_key import PassingKey
from api.security.principal import Principal, Role
from domain.model import ids
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.access_events import ALL
from domain.model.activity_events import ActivityAsked
from domain.model.plan_events import EtpSent, PlanMade
from domain.model.profile import PowerProfile, PowerRangeEnvelope, Range
from domain.model.values import HOUR, MINUTE, Current
from domain.ports import Answer, Append, Batch, System
from domain.store.store import Store
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.clause_6_2_merging import MergeSessions, merge_sessions
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    BindReference,
    add_transaction,
    bind_reference,
)
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.clause_7_3_stations import (
    RegisterStation,
    digest_of,
    register_station,
)
from domain.use_cases.clause_7_5_corrections import (
    CorrectTransaction,
    correct_transaction,
)
from domain.use_cases.e1_smart_charging import PlugEv, StateNeeds, plug_ev, state_needs
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from domain.use_cases.s6_sdr_information import ReceiveSdr, receive_sdr
from domain.use_cases.shared_path import By
from projections.read_models import ReadModels
from projections.runner import Runner
from tests.store.fakes import MONDAY, FakeClock, SeededIds

KEY = "the key of one caller"
NINE = MONDAY + 9 * HOUR


class Named(NamedTuple):
    """One thing that has an id, and who may learn of it."""

    kind: str
    id: str
    tenant: str
    zone_id: str = ""
    station_id: str = ""
    parties: frozenset[str] = frozenset()


class World(NamedTuple):
    """The tenants' contexts, all that has an id, and their systems."""

    contexts: dict[str, Context]
    named: list[Named]

    def app_for(self, caller: Principal) -> FastAPI:
        return create_app(self.contexts, PassingKey(KEY, caller))

    def ids(self, kind: str) -> list[str]:
        return sorted({n.id for n in self.named if n.kind == kind})


class Settler:
    """Settles one tenant: two zones, their stations, sessions of several parties."""

    def __init__(self, tenant: str, system: System, named: list[Named]) -> None:
        self.tenant = tenant
        self.system = system
        self.named = named
        # Names that no text of ours contains by chance.
        self.mark = "Qx" if tenant == "main" else "Zw"

    def name(self, kind: str, text: str, zone_id: str) -> str:
        found = f"{self.mark}{kind}{text}"
        self.named.append(Named(kind, found, self.tenant, zone_id))
        return found

    def settle(self) -> None:
        for zone in ("1", "2"):
            zone_id = f"{self.mark}zone{zone}"
            # Who takes part in the booking of a place in it knows what it is called.
            booked = frozenset(
                f"{self.mark}{kind}{zone}{station}"
                for kind in ("cso", "wash")
                for station in "ab"
            )
            self.named.append(
                Named("zone", zone_id, self.tenant, zone_id, parties=booked)
            )
            self._zone(zone, zone_id)

    def _zone(self, zone: str, zone_id: str) -> None:
        by = By(actor="settler", at=MONDAY)
        define = DefineZone(
            zone_id=zone_id, name="a zone", limit_w=40_000, safe_upper_w=9_000
        )
        define_zone(self.system, define, by)
        pre = ReceivePre(
            zone_id=zone_id,
            pre_id=self.name("pre", zone, zone_id=zone_id),
            envelope=PowerRangeEnvelope(NINE, (Range(36_000, 0, 20_000),)),
        )
        receive_pre(self.system, pre, By(actor="rm", at=NINE - MINUTE))
        plan = PlanMade(
            zone_id=zone_id,
            planned_at=NINE,
            seen_position=1,
            trigger="test",
            status="optimal",
            problem_digest=bytes(32),
            etps_changed=(),
            aetp=PowerProfile(NINE, ((0, 4_000),)),
        )
        stream = ids.plan_stream(zone_id, NINE)
        answer = self.system.log.append(Batch(appends=(Append(stream, (plan,), NINE),)))
        self.named.append(Named("plan", str(answer.first), self.tenant, zone_id))
        for station in ("a", "b"):
            self._station(zone, zone_id, station)

    def _station(self, zone: str, zone_id: str, station: str) -> None:
        by = By(actor="settler", at=MONDAY)
        station_id = self.name("station", zone + station, zone_id=zone_id)
        self.named[-1] = self.named[-1]._replace(station_id=station_id)
        country = "DE" if self.tenant == "main" else "NL"
        evse_id = f"{country}*Q{self.mark[1].upper()}X*E{zone}{station.upper()}77"
        where = Named("evse", evse_id, self.tenant, zone_id, station_id)
        self.named.append(where)
        data = EvseData(
            evse_id=evse_id,
            current=Current.AC,
            phases=1,
            voltage_v=230,
            max_w=7_360,
            floor_w=1_380,
        )
        command = CommissionStation(
            station_id=station_id, zone_id=zone_id, evses=(data,)
        )
        commission_station(self.system, command, by)
        self._connect(zone + station, where)
        self._sessions(zone + station, where)

    def _connect(self, text: str, where: Named) -> None:
        """Let the station connect, tell of a transaction, and be asked for work."""
        identity, transaction, activity = (
            where._replace(kind=kind, id=f"{self.mark}{kind}{text}")
            for kind in ("identity", "transaction", "activity")
        )
        self.named += (identity, transaction, activity)
        register = RegisterStation(
            station_id=where.station_id, identity=identity.id, security_profile=1
        )
        register_station(
            self.system,
            register,
            By(actor="settler", at=MONDAY),
            password_digest=digest_of("secret"),
        )
        connected = t.StationConnected(
            station_id=where.station_id, version="2.0.1", security_profile=1
        )
        started = t.StationTransactionReported(
            station_id=where.station_id,
            evse_id=where.id,
            transaction_id=transaction.id,
            kind="started",
        )
        asked = ActivityAsked(
            activity_id=activity.id,
            kind="reset",
            station_id=where.station_id,
            due_at=NINE + HOUR,
        )
        sent = EtpSent(where.id, 1, PowerProfile(NINE, ((0, 4_000),)))
        appends = (
            Append(ids.connectivity_stream(where.station_id, NINE), (connected,), NINE),
            Append(
                ids.transaction_stream(where.station_id, transaction.id),
                (started,),
                NINE,
            ),
            Append(ids.activity_stream(activity.id), (asked,), NINE),
            Append(ids.delivery_stream(where.station_id, NINE), (sent,), NINE),
        )
        self.system.log.append(Batch(appends=appends))

    def _sessions(self, text: str, where: Named) -> None:
        """Let one car charge, and one place be booked by a partner for later."""
        cso, park = f"{self.mark}cso{text}", f"{self.mark}park{text}"
        wash = f"{self.mark}wash{text}"
        for party in (cso, park, wash):
            self.named.append(
                Named(
                    "party",
                    party,
                    self.tenant,
                    where.zone_id,
                    parties=frozenset({party}),
                )
            )
        plugged = plug_ev(
            self.system, PlugEv(evse_id=where.id), By(actor="meter", at=NINE)
        )
        at = where._replace(kind="session", id=self._session_of(plugged))
        self.named.append(at)
        needs = StateNeeds(
            session_id=at.id, departure_at=NINE + 8 * HOUR, energy_target_wh=9_000
        )
        state_needs(self.system, needs, By(actor="app", at=NINE + MINUTE))
        self._authorize(at, cso)
        self._contract(text)
        booking = self.name("booking", text, zone_id=where.zone_id)
        self.named[-1] = self.named[-1]._replace(parties=frozenset({cso}))
        made = s.ReservationMade(
            session_id="",
            from_at=NINE + 24 * HOUR,
            until_at=NINE + 30 * HOUR,
            evse_class=f"{where.zone_id}/AC",
        )
        reserved = add_transaction(
            self.system,
            AddTransaction(transaction=made, reference=Reference(cso, "b", booking)),
            By(actor=cso, at=NINE + 2 * MINUTE, party=cso),
        )
        session_id = self._session_of(reserved)
        parties = frozenset({cso, park, wash})
        booked = Named("session", session_id, self.tenant, where.zone_id, "", parties)
        self.named.append(booked)
        # What one party binds for another is drawn, so that nobody guesses it.
        ticket = self.name("ticket", f"{text}5c0e91d7", zone_id=where.zone_id)
        self.named[-1] = self.named[-1]._replace(parties=frozenset({park}))
        bind = BindReference(
            session_id=session_id,
            reference=Reference(park, "t", ticket),
            is_by_staff=True,
        )
        bind_reference(self.system, bind, By(actor=cso, at=NINE + 3 * MINUTE))
        self._merge(booked, wash)

    def _merge(self, booked: Named, wash: str) -> None:
        """Let what a partner began prove to be a part of the booking."""
        washing = s.OtherStarted(session_id="", service="wash")
        began = add_transaction(
            self.system,
            AddTransaction(transaction=washing, reference=None),
            By(actor=wash, at=NINE + 3 * MINUTE, party=wash),
        )
        gone = booked._replace(id=self._session_of(began))
        self.named.append(gone)
        merge = MergeSessions(session_id=gone.id, into_session_id=booked.id)
        merge_sessions(self.system, merge, By(actor="settler", at=NINE + 3 * MINUTE))

    def _authorize(self, plugged: Named, cso: str) -> None:
        """Let a card be presented, a CSO accept it, correct it and take the SDR."""
        by = By(actor=f"{cso}-key", at=NINE + 2 * MINUTE, party=cso)
        subject_id = self.system.vault.subject_of("rfid", plugged.id)
        self.named.append(Named("subject", subject_id, self.tenant, plugged.zone_id))
        for transaction in (
            s.AuthorizationRequested(session_id="", evse_id="", subject_id=subject_id),
            s.AuthorizationAccepted(session_id="", by=cso),
            s.OtherStarted(session_id="", service="wash"),
        ):
            adding = AddTransaction(
                transaction=transaction, session_id=plugged.id, reference=None
            )
            answer = add_transaction(self.system, adding, by)
        correction = CorrectTransaction(
            session_id=plugged.id,
            position=answer.first,
            field="service",
            value='"polish"',
            reason="a slip",
        )
        correct_transaction(self.system, correction, by)
        receive_sdr(self.system, ReceiveSdr(session_id=plugged.id, sequence=2), by)

    def _contract(self, text: str) -> None:
        contract_id = self.name("contract", text, zone_id="")
        subject_id = self.system.vault.subject_of("rfid", contract_id)
        self.named.append(Named("subject", subject_id, self.tenant))
        command = RegisterContract(
            contract_id=contract_id, subject_id=subject_id, valid_from_at=MONDAY
        )
        register_contract(self.system, command, By(actor="settler", at=NINE))

    def _session_of(self, answer: Answer) -> str:
        rows = self.system.log.read(after=answer.first - 1, limit=answer.count)
        streams = [r.stream for r in rows if r.stream.startswith("session-")]
        return streams[0].removeprefix("session-")


def may_learn(caller: Principal, thing: Named) -> bool:
    """Whether a caller may be told an id; the rule in other words than the product."""
    if thing.tenant != caller.tenant:
        return False
    if ALL in caller.zones or (caller.party and caller.party in thing.parties):
        return True
    if caller.roles == {Role.PARKING_OPERATOR}:
        return False
    is_theirs = thing.kind in ("party", "booking", "ticket")
    if is_theirs and caller.roles.isdisjoint({Role.OPERATOR, Role.ANALYST}):
        return False
    if thing.zone_id in caller.zones or thing.station_id in caller.stations:
        return True
    # A station knows which zone it is in.
    return thing.kind == "zone" and any(
        station.startswith(thing.id.replace("zone", "station"))
        for station in caller.stations
    )


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Settle two tenants and open what the API needs of them."""
    named: list[Named] = []
    contexts: dict[str, Context] = {}
    with ExitStack() as opened:
        for tenant in ("main", "other"):
            clock, drawn = FakeClock(NINE), SeededIds(tenant)
            store = Store(folder / tenant, clock=clock, ids=drawn, master_key=bytes(32))
            opened.enter_context(store)
            system = System(store.log, store.samples, store.vault, clock, drawn)
            Settler(tenant, system, named).settle()
            clock.at = NINE + 4 * MINUTE
            runner = Runner(store.log, folder / f"{tenant}-projections")
            opened.callback(runner.close)
            runner.catch_up()
            models = ReadModels(folder / f"{tenant}-projections", runner)
            opened.callback(models.close)
            contexts[tenant] = Context(system, models, dict)
        yield World(contexts, named)


def caller(*roles: Role, **reach: object) -> Principal:
    """Return a caller of the first tenant."""
    found = Principal(
        tenant="main", actor="walker", roles=frozenset(roles), subject_id="walker"
    )
    return msgspec.structs.replace(found, **reach)
