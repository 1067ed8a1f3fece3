"""Security profiles 1 to 3 at the socket, with certificates made here."""

import asyncio
import json
import ssl
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from api.ocpp.link import Limits
from api.security.tls import TlsFiles
from domain.model import station_events as t
from domain.use_cases.clause_7_3_passwords import RotatePassword, rotate_password
from domain.use_cases.clause_7_3_stations import (
    ChangeCredentials,
    change_credentials,
    digest_of,
)
from tests.api.ocpp.sockets import HEARTBEAT, Yard, ask, open_yard
from tests.api.security.test_tls import Signed, signed, trusting

PROTOCOL = "ocpp1.6"


@pytest.fixture(scope="module")
def authority() -> Signed:
    return signed("authority")


def station_context(folder: Path, authority: Signed) -> ssl.SSLContext:
    ca, _ = authority.write(folder, "ca")
    cert, key = signed("server", authority).write(folder, "server")
    return TlsFiles(cert, key, ca).station_context()


def give(
    yard: Yard,
    station_id: str,
    profile: int,
    name: str = "",
    password: str = "secret",
) -> None:
    """Give a station credentials of a profile."""
    command = ChangeCredentials(
        station_id=station_id, security_profile=profile, certificate_name=name
    )
    digest = b"" if name else digest_of(password)
    change_credentials(
        yard.office.system, command, yard.office.by(), password_digest=digest
    )
    yard.office.follow()


async def refused_with(attempt: object) -> int:
    with pytest.raises(InvalidStatus) as refused:
        await attempt  # type: ignore[misc]
    return refused.value.response.status_code


@pytest.mark.requirement("7.9.4.2")
@pytest.mark.parametrize("profile", [2, 3])
def test_a_station_of_profile_2_or_3_is_not_let_in_without_tls(
    tmp_path: Path, profile: int
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            give(yard, "S1", profile, "S1" if profile == 3 else "")
            assert await refused_with(yard.connect("S1", PROTOCOL)) == 401
            assert yard.traffic.refused == {"wrong-credentials": 1}

    asyncio.run(check())


@pytest.mark.requirement("7.9.4.2")
def test_over_tls_a_password_lets_stations_of_profiles_1_and_2_in(
    tmp_path: Path, authority: Signed
) -> None:
    tls = station_context(tmp_path, authority)

    async def check() -> None:
        async with open_yard(tmp_path / "store", "S1", "S2", tls=tls) as yard:
            give(yard, "S2", 2)
            trust = trusting(tmp_path)
            for station_id in ("S1", "S2"):
                async with yard.connect(station_id, PROTOCOL, ssl=trust) as client:
                    assert (await ask(client, *HEARTBEAT))[0] == 3
            wrong = yard.connect("S2", PROTOCOL, ssl=trust, password=b"guess")
            assert await refused_with(wrong) == 401
            with pytest.raises(InvalidMessage):
                await yard.connect("S1", PROTOCOL)

    asyncio.run(check())


@pytest.mark.requirement("7.9.4.2")
@pytest.mark.requirement("7.9.4.4")
def test_profile_3_takes_a_certificate_of_the_stations_own_name_and_nothing_else(
    tmp_path: Path, authority: Signed
) -> None:
    tls = station_context(tmp_path, authority)

    async def check() -> None:
        async with open_yard(tmp_path / "store", "S3", tls=tls) as yard:
            give(yard, "S3", 3, "station-3.example")
            own = trusting(tmp_path, signed("station-3.example", authority))
            async with yard.connect("S3", PROTOCOL, ssl=own, password=None) as client:
                assert (await ask(client, *HEARTBEAT))[0] == 3
            another = trusting(tmp_path, signed("station-4.example", authority))
            assert await refused_with(yard.connect("S3", PROTOCOL, ssl=another)) == 401
            bare = trusting(tmp_path)
            assert await refused_with(yard.connect("S3", PROTOCOL, ssl=bare)) == 401
            assert yard.traffic.refused == {
                "wrong-credentials": 1,
                "no-credentials": 1,
            }
            forged = trusting(tmp_path, signed("station-3.example", signed("else")))
            with pytest.raises((OSError, InvalidMessage)):
                async with yard.connect("S3", PROTOCOL, ssl=forged):
                    pass
            assert not yard.traffic.links

    asyncio.run(check())


def test_connections_that_do_not_shake_hands_end(
    tmp_path: Path, authority: Signed
) -> None:
    tls = station_context(tmp_path, authority)

    async def check() -> None:
        limits = Limits(handshake_within_s=0.3)
        async with open_yard(tmp_path / "store", "S1", tls=tls, limits=limits) as yard:
            reader, writer = await asyncio.open_connection("127.0.0.1", yard.port)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    asyncio.run(check())


@pytest.mark.requirement("7.9.4.4")
def test_a_changed_password_ends_the_connection_that_it_let_in(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1", "S2") as yard:
            async with (
                yard.connect("S1", PROTOCOL) as client,
                yard.connect("S2", PROTOCOL) as other,
            ):
                assert (await ask(client, *HEARTBEAT))[0] == 3
                give(yard, "S1", 1)  # the same once more
                assert (await ask(client, *HEARTBEAT))[0] == 3
                give(yard, "S1", 1, password="another")
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert client.close_code == 1008
                assert (await ask(other, *HEARTBEAT))[0] == 3
                gone = yard.office.events(t.StationDisconnected)
            assert gone == [
                t.StationDisconnected(
                    station_id="S1", reason="its credentials were changed"
                )
            ]
            assert await refused_with(yard.connect("S1", PROTOCOL)) == 401
            again = yard.connect("S1", PROTOCOL, password=b"another")
            async with again as client:
                assert (await ask(client, *HEARTBEAT))[0] == 3

    asyncio.run(check())


@pytest.mark.requirement("7.9.4.2")
def test_who_is_to_prove_more_than_it_did_is_sent_away(tmp_path: Path) -> None:
    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1") as yard,
            yard.connect("S1", PROTOCOL) as client,
        ):
            assert (await ask(client, *HEARTBEAT))[0] == 3
            give(yard, "S1", 2)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1008

    asyncio.run(check())


def test_who_took_a_new_password_over_its_connection_keeps_it(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            office = yard.office
            async with yard.connect("S1", PROTOCOL) as client:
                assert (await ask(client, *HEARTBEAT))[0] == 3
                command = RotatePassword(station_id="S1")
                rotate_password(office.system, command, office.by())
                office.follow()
                (kind, message_id, action, _) = json.loads(await client.recv())
                assert (kind, action) == (2, "ChangeConfiguration")
                told = [3, message_id, {"status": "Accepted"}]
                await client.send(json.dumps(told))
                assert (await ask(client, *HEARTBEAT))[0] == 3
                office.follow()
                assert (await ask(client, *HEARTBEAT))[0] == 3
            assert len(office.events(t.StationCredentialChanged)) == 1
            assert await refused_with(yard.connect("S1", PROTOCOL)) == 401

    asyncio.run(check())
