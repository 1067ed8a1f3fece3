"""Whose messages can wait for others': by when they come, not by what they say."""

import asyncio
import json
from pathlib import Path

from api.ocpp.calls import Call
from api.ocpp.desk import InlineDesk, Pace, Work
from api.ocpp.link import Limits
from api.ocpp.v16 import messages as v16
from tests.api.ocpp.sockets import BOOT, HEARTBEAT, Yard, ask, open_yard, until

_LIMITS = Limits(eager_s=1.0)
_LATER_S = 1.1


class NotingDesk(InlineDesk):
    """A desk that notes the pace of each work."""

    paces: list[Pace]

    def put(self, work: Work, pace: Pace = Pace.NOW) -> None:
        """Note it, and do it."""
        self.paces.append(pace)
        super().put(work, pace)


def noting(yard: Yard) -> NotingDesk:
    """Put a desk that notes in the place of the yard's."""
    desk = NotingDesk(yard.office.desk.desk)
    desk.paces = []
    yard.office.gateway.desk = desk
    return desk


def test_who_has_come_or_speaks_again_at_once_can_wait_and_others_cannot(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1", limits=_LIMITS) as yard:
            desk = noting(yard)
            async with yard.connect("S1", "ocpp1.6") as client:
                await ask(client, *HEARTBEAT)
                assert desk.paces == [
                    Pace.LATER,
                    Pace.LATER,
                ]  # that it is there, and this
                await ask(client, *HEARTBEAT)
                assert desk.paces[2:] == [Pace.LATER]
                await asyncio.sleep(_LATER_S)
                await ask(client, 2, "b", "BootNotification", BOOT)
                await ask(client, *HEARTBEAT)
                assert desk.paces[3:] == [Pace.NOW, Pace.LATER]

    asyncio.run(check())


def test_an_answer_to_us_makes_nothing_wait_that_comes_after_it(tmp_path: Path) -> None:
    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1", limits=_LIMITS) as yard,
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
            await until(lambda: bool(desk.paces))
            await ask(client, *HEARTBEAT)
            assert desk.paces == [Pace.NOW, Pace.SOON]

    asyncio.run(check())
