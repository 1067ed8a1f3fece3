"""What makes an EV draw less does not wait long for answers to what is not urgent."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.calls import Answered, Call, NotAnswered, OnAnswer, Urgency
from api.ocpp.desk import Desk
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer
from api.ocpp.v201 import messages as m201
from api.ocpp.v201.messages import ClearCacheResponse
from domain.model.values import SECOND
from tests.api.ocpp.office import Office
from tests.api.ocpp.sockets import HEARTBEAT, Yard, ask, open_yard

URGENT, COMMAND, REPORT = Urgency.DECREASE, Urgency.COMMAND, Urgency.REPORT


class Asked:
    """Calls of the gateway to S1, and what came of each."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.came: list[tuple[str, Answered]] = []

    def ask(self, name: str, urgency: Urgency) -> None:
        """Ask for something that only its urgency tells apart."""
        peer = self.office.gateway.peers.by_id["S1"]
        call = Call("ClearCache", m201.ClearCacheRequest(), self._noting(name), urgency)
        self.office.desk.put(lambda desk: self.office.gateway.ask(desk, peer, call))

    def _noting(self, name: str) -> OnAnswer:
        def note(gateway: Gateway, desk: Desk, peer: Peer, answered: Answered) -> None:
            self.came.append((name, answered))

        return note


class Station:
    """The other end, which answers when it is told to."""

    def __init__(self, yard: Yard, client: Any) -> None:
        self.office = yard.office
        self.client = client
        self.asked = Asked(yard.office)
        self._beats = 0

    async def heard(self) -> list[str]:
        """Return the ids of what was asked so far."""
        self._beats += 1
        beat = f"h{self._beats}"
        await self.client.send(json.dumps([2, beat, *HEARTBEAT[2:]]))
        found = []
        while (frame := json.loads(await self.client.recv()))[1] != beat:
            found.append(frame[1])
        return found

    async def answer(self, message_id: str) -> None:
        await self.client.send(json.dumps([3, message_id, {"status": "Accepted"}]))


def run(folder: Path, talk: Any) -> None:
    async def check() -> None:
        async with (
            open_yard(folder, "S1") as yard,
            yard.connect("S1", "ocpp2.0.1") as client,
        ):
            await ask(client, *HEARTBEAT)  # it is connected, whatever is answered
            await talk(Station(yard, client))

    asyncio.run(asyncio.wait_for(check(), 20))


@pytest.mark.parametrize("urgency", [COMMAND, REPORT])
def test_an_unanswered_call_that_is_not_urgent_is_waited_for_5_s(
    tmp_path: Path, urgency: Urgency
) -> None:
    async def talk(station: Station) -> None:
        office, asked = station.office, station.asked
        asked.ask("slow", urgency)
        (slow,) = await station.heard()
        office.pass_time(2 * SECOND)
        asked.ask("another", urgency)
        asked.ask("less", URGENT)
        office.pass_time(5 * SECOND - 1)
        assert await station.heard() == []
        office.pass_time(1)
        (less,) = await station.heard()
        await station.answer(less)
        (another,) = await station.heard()
        assert asked.came == [("less", ACCEPTED)]
        # Its answer is taken all the same.
        await station.answer(slow)
        await station.answer(another)
        await station.heard()
        assert [name for name, _ in asked.came] == ["less", "slow", "another"]
        assert all(answered == ACCEPTED for _, answered in asked.came)

    run(tmp_path, talk)


ACCEPTED = ClearCacheResponse(status="Accepted")


def test_what_is_never_answered_has_timed_out_in_the_end(tmp_path: Path) -> None:
    async def talk(station: Station) -> None:
        asked = station.asked
        asked.ask("slow", REPORT)
        asked.ask("less", URGENT)
        station.office.pass_time(19 * SECOND)
        slow, _ = await station.heard()
        assert asked.came == [("less", NotAnswered.TIMED_OUT)]
        station.office.pass_time(SECOND)
        assert asked.came[1:] == [("slow", NotAnswered.TIMED_OUT)]
        await station.answer(slow)
        await station.heard()
        assert len(asked.came) == 2

    run(tmp_path, talk)


def test_who_leaves_has_answered_nothing_that_was_asked(tmp_path: Path) -> None:
    async def talk(station: Station) -> None:
        asked = station.asked
        asked.ask("slow", REPORT)
        asked.ask("less", URGENT)
        station.office.pass_time(6 * SECOND)
        peer = station.office.gateway.peers.by_id["S1"]
        assert peer.connection is not None
        station.office.gateway.disconnect(peer.connection, "gone")
        gone = NotAnswered.DISCONNECTED
        assert asked.came == [("slow", gone), ("less", gone)]

    run(tmp_path, talk)


@pytest.mark.parametrize("urgency", [URGENT, Urgency.INCREASE])
def test_an_etp_is_waited_for_as_long_as_ever(tmp_path: Path, urgency: Urgency) -> None:
    async def talk(station: Station) -> None:
        station.asked.ask("first", urgency)
        station.asked.ask("less", URGENT)
        station.office.pass_time(9 * SECOND)
        assert len(await station.heard()) == 1
        station.office.pass_time(SECOND)
        assert len(await station.heard()) == 1
        assert station.asked.came == [("first", NotAnswered.TIMED_OUT)]

    run(tmp_path, talk)
