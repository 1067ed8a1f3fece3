"""Read model of audit and security log: filters, counters, replay."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.model import ids
from domain.model.access_events import CommandAudited, SecurityCounted, SecurityNoted
from domain.model.values import DAY, HOUR, MINUTE, Instant
from projections.runner import Runner
from projections.security import CONFIGURATION_CHANGED, Security, Window
from tests.projections.small_site import DAWN, Site, Told

MOST = (1 << 63) - 1


def audited(at: int, actor: str, permission: str) -> Told:
    event = CommandAudited(
        actor=actor, roles=("admin",), permission=permission, route="", request_id=""
    )
    return Told(ids.audit_stream(at), at, event)


def noted(at: int, kind: str) -> Told:
    return Told(ids.security_stream(at), at, SecurityNoted(kind=kind))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "store")
    counted = SecurityCounted(
        kind="no-credentials", count=40, from_at=DAWN, until_at=DAWN + MINUTE
    )
    site.tell(
        [
            audited(DAWN, "anna", "zones.commission"),
            noted(DAWN, "no-credentials"),
            Told(ids.security_stream(DAWN), DAWN + MINUTE, counted),
            audited(DAWN + HOUR, "ben", "session.close"),
            audited(DAWN + 2 * HOUR, "anna", "keys.keep"),
            noted(DAWN + DAY, "login"),
        ]
    )
    yield site
    site.close()


def security(site: Site, folder: Path) -> Security:
    runner = Runner(site.log, folder)
    runner.catch_up()
    runner.close()
    return Security(folder)


def test_audits_are_found_by_actor_permission_and_time(
    site: Site, tmp_path: Path
) -> None:
    found = security(site, tmp_path / "p")

    def actors(
        actor: str = "", permission: str = "", **time: Instant | None
    ) -> list[str]:
        window = Window(MOST, 10, **time)
        entries = found.audit(window, actor=actor, permission=permission)
        return [entry.actor for entry in entries]

    assert actors() == ["anna", "ben", "anna"]
    assert actors(actor="anna") == ["anna", "anna"]
    assert actors(permission="session.close") == ["ben"]
    assert actors(from_at=DAWN + HOUR) == ["anna", "ben"]
    assert actors(until_at=DAWN + HOUR) == ["anna"]
    assert actors(from_at=DAWN + 1, until_at=DAWN + 2 * HOUR) == ["ben"]
    found.reader.close()


def test_counters_add_what_was_counted_and_what_was_noted(
    site: Site, tmp_path: Path
) -> None:
    found = security(site, tmp_path / "p")
    counts = {
        (count.day, count.kind): count.count
        for count in found.counts(before=("~", "~"), limit=10)
    }
    assert counts == {
        ("2019-10-29", "no-credentials"): 41,
        ("2019-10-29", CONFIGURATION_CHANGED): 2,
        ("2019-10-30", "login"): 1,
    }
    changed = found.entries(Window(MOST, 10), kind=CONFIGURATION_CHANGED)
    assert [entry.detail for entry in changed] == ["keys.keep", "zones.commission"]
    found.reader.close()


def test_a_replay_gives_the_same(site: Site, tmp_path: Path) -> None:
    first = security(site, tmp_path / "p")
    again = security(site, tmp_path / "q")
    assert first.reader.dump() == again.reader.dump()
    first.reader.close()
    again.reader.close()
