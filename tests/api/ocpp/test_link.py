"""Whose messages can wait for others': by when they come, not by what they say."""

import asyncio
import json
from pathlib import Path

from api.ocpp.calls import Call
from api.ocpp.desk import InlineDesk, Work
from api.ocpp.v16 import messages as v16
from tests.api.ocpp.sockets import HEARTBEAT, Yard, ask, open_yard, until

# Longer than what is soon after an answer.
_LATER_S = 1.1


class NotingDesk(InlineDesk):
    """A desk that notes of each work whether it can wait."""

    can_wait: list[bool]

    def put(self, work: Work, *, can_wait: bool = False) -> None:
        """Note it, and do it."""
        self.can_wait.append(can_wait)
        super().put(work, can_wait=can_wait)


def noting(yard: Yard) -> NotingDesk:
    """Put a desk that notes in the place of the yard's."""
    desk = NotingDesk(yard.office.desk.desk)
    desk.can_wait = []
    yard.office.gateway.desk = desk
    return desk


def test_who_has_come_or_speaks_again_at_once_can_wait_and_others_cannot(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            desk = noting(yard)
            async with yard.connect("S1", "ocpp1.6") as client:
                await ask(client, *HEARTBEAT)
                assert desk.can_wait == [True, True]  # that it is there, and this
                await ask(client, *HEARTBEAT)
                assert desk.can_wait[2:] == [True]
                await asyncio.sleep(_LATER_S)
                await ask(client, *HEARTBEAT)
                await ask(client, *HEARTBEAT)
                assert desk.can_wait[3:] == [False, True]

    asyncio.run(check())


def test_an_answer_to_us_makes_nothing_wait_that_comes_after_it(tmp_path: Path) -> None:
    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1") as yard,
            yard.connect("S1", "ocpp1.6") as client,
        ):
            await ask(client, *HEARTBEAT)
            await asyncio.sleep(_LATER_S)
            await ask(client, *HEARTBEAT)
            await asyncio.sleep(_LATER_S)
            gateway = yard.office.gateway
            peer = gateway.peers.by_id["S1"]
            call = Call("GetConfiguration", v16.GetConfigurationRequest())
            gateway.desk.put(lambda desk: gateway.ask(desk, peer, call))
            asked = json.loads(await asyncio.wait_for(client.recv(), 5))
            desk = noting(yard)
            await client.send(json.dumps([3, asked[1], {}]))
            await until(lambda: bool(desk.can_wait))
            await ask(client, *HEARTBEAT)
            assert desk.can_wait == [False, False]

    asyncio.run(check())
