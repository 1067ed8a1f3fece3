"""What a station's message comes to is all or nothing; an alarm in it stays."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.ocpp.calls import Answered, Call, NotAnswered
from api.ocpp.desk import Desk
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer
from api.ocpp.v201.messages import ClearCacheRequest
from domain.errors import Refused
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import DAY, MINUTE, SECOND, Instant
from domain.ports import Authorization
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from tests.api.ocpp.office import NOW, ONE, Office, evse_data, open_office
from tests.api.ocpp.sockets import Yard, ask, open_yard
from tests.api.ocpp.transactions import CARD, event, meter, running

ERRORS = (Refused("not today"), RuntimeError("a mistake"))


class Cso:
    """A back office that answers, and at times fails."""

    def __init__(self, office: Office) -> None:
        self._behind = office.system.cso
        self.error: Exception | None = None

    def answer(
        self, subject_id: str, evse_id: str, at: Instant
    ) -> Authorization | None:
        """Answer, or fail."""
        if self.error is not None:
            raise self.error
        return self._behind.answer(subject_id, evse_id, at)

    def group_of(self, subject_id: str, at: Instant) -> str:
        """Return its group."""
        return self._behind.group_of(subject_id, at)


def began(office: Office) -> dict[str, Any]:
    return event(
        office,
        "Started",
        0,
        "CablePluggedIn",
        evse={"id": 1, "connectorId": 1},
        idToken={"idToken": CARD, "type": "ISO14443"},
        chargingState="Charging",
        meterValue=[meter(office.clock.at, 1_000)],
    )


def over(office: Office, **changes: Any) -> dict[str, Any]:
    """Return an end that shows its card: for that the back office is asked last."""
    return event(
        office,
        "Ended",
        1,
        "StopAuthorized",
        idToken={"idToken": CARD, "type": "ISO14443"},
        meterValue=[meter(office.clock.at, 3_000, 1_000)],
        **changes,
    )


def kinds(office: Office) -> list[str]:
    told = office.events(t.StationTransactionReported)
    return [
        each.kind for each in told if isinstance(each, t.StationTransactionReported)
    ]


async def charging(yard: Yard, told: Callable[[Any, Cso], Any]) -> None:
    """Have an EV charge at S1, then go on with its client and back office."""
    office = yard.office
    office.commission("S1", evse_data(ONE))
    contract = RegisterContract(
        contract_id="c1",
        subject_id=office.system.vault.subject_of("rfid", CARD),
        valid_from_at=NOW - DAY,
        valid_until_at=NOW + DAY,
    )
    register_contract(office.system, contract, office.by())
    cso = Cso(office)
    desk = office.desk.desk
    desk.system = msgspec.structs.replace(desk.system, cso=cso)
    async with yard.connect("S1", "ocpp2.0.1") as client:
        answer = await ask(client, 2, "t0", "TransactionEvent", began(office))
        assert answer[2]["idTokenInfo"]["status"] == "Accepted"
        office.pass_time(30 * SECOND)
        await told(client, cso)


@pytest.mark.parametrize("error", ERRORS)
def test_a_message_that_fails_half_way_leaves_nothing_and_is_taken_when_it_is_repeated(
    tmp_path: Path, error: Exception
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            await charging(yard, lambda client, cso: told(yard.office, client, cso))

    async def told(office: Office, client: Any, cso: Cso) -> None:
        before = office.system.log.last_position()
        readings, end = list(office.readings), over(office)
        cso.error = error
        answer = await ask(client, 2, "t1", "TransactionEvent", end)
        assert answer[:3] == [4, "t1", "InternalError"]
        assert office.system.log.last_position() == before
        assert office.readings == readings
        assert running(office).session_id  # it goes on, for all that is known
        cso.error = None
        answer = await ask(client, 2, "t1", "TransactionEvent", end)
        assert answer[0] == 3
        assert kinds(office) == ["started", "ended"]
        assert len(office.events(s.TransferEnded)) == 1
        assert running(office) is None

    asyncio.run(check())


@pytest.mark.requirement("7.10.1")
@pytest.mark.parametrize("where", [{}, {"evse": {"id": 1}}])
def test_an_alarm_of_a_message_that_fails_blocks_all_the_same(
    tmp_path: Path, where: dict[str, Any]
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            await charging(yard, lambda client, cso: told(yard.office, client, cso))

    async def told(office: Office, client: Any, cso: Cso) -> None:
        cso.error = ERRORS[0]
        end = over(office, stoppedReason="GroundFault", **where)
        answer = await ask(client, 2, "t1", "TransactionEvent", end)
        assert answer[:3] == [4, "t1", "InternalError"]
        assert kinds(office) == ["started"]
        (blocked,) = office.events(z.EvseBlocked)
        assert isinstance(blocked, z.EvseBlocked)
        assert blocked.evse_id == ONE

    asyncio.run(check())


def test_what_was_asked_of_a_station_for_nothing_does_not_leave(
    tmp_path: Path,
) -> None:
    with open_office(tmp_path) as office:
        office.ask_nothing()
        office.register("S1")
        wire = office.connect("S1", "2.0.1")
        peer = office.gateway.peers.by_id["S1"]
        answers: list[Answered] = []

        def asks(desk: Desk) -> None:
            for slot in ("", "a", "a"):  # one leaves, one waits, one takes its place
                call = Call("ClearCache", ClearCacheRequest(), noted, slot=slot)
                office.gateway.ask(desk, peer, call)

        def noted(gateway: Gateway, desk: Desk, peer: Peer, answered: Answered) -> None:
            answers.append(answered)

        def fails(desk: Desk) -> None:
            asks(desk)
            raise KeyError("a mistake")

        with pytest.raises(KeyError):
            office.desk.put(fails)
        assert wire.calls() == []
        office.desk.put(asks)
        (first,) = wire.calls()
        wire.answer(first, {"status": "Accepted"})
        assert len(wire.calls()) == 2
        office.pass_time(MINUTE)
        assert answers[0] == NotAnswered.SUPERSEDED  # of the work that failed
        assert len(answers) == 1 + 3
