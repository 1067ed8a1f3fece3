"""7.9.4.5 Keys are issued and revoked by rules; nothing of a secret is in the log."""

import hashlib
from typing import Any

import pytest

from domain.errors import Conflict, InvalidValue, Refused, RequestMismatch, Unknown
from domain.model.access_events import KeyIssued, KeyRevoked
from domain.model.values import HOUR
from domain.ports import Answer
from domain.use_cases.clause_7_9_4_5_access import (
    IssueKey,
    RevokeKey,
    issue_key,
    keys_of,
    load_key,
    revoke_key,
)
from tests.use_cases.small_site import NINE, ZONE, Site, by

DIGEST = hashlib.sha256(b"secret").digest()


def issue(site: Site, key_id: str = "k1", command_id: str = "", **more: Any) -> Answer:
    told: dict[str, Any] = {"label": "Fleet", "roles": ("cso",), "party": "fleet"}
    command = IssueKey(**told | more)
    who = by(actor="admin", command_id=command_id)
    return issue_key(site.system, command, who, key_id=key_id, digest=DIGEST)


def revoke(site: Site, key_id: str = "k1", reason: str = "lost") -> Answer:
    command = RevokeKey(key_id=key_id, reason=reason)
    return revoke_key(site.system, command, by(NINE + HOUR, "admin"))


def test_a_key_is_issued_in_a_stream_of_its_own(site: Site) -> None:
    answer = issue(site, zones=(ZONE,), stations=("s1",))
    (row,) = site.log.read(after=answer.first - 1, limit=1)
    assert row.stream == "access-k1"
    assert row.event == KeyIssued(
        key_id="k1",
        digest=DIGEST,
        label="Fleet",
        roles=("cso",),
        party="fleet",
        zones=(ZONE,),
        stations=("s1",),
    )


def test_a_revoked_key_stays_readable(site: Site) -> None:
    issue(site)
    issue(site, "k2")
    answer = revoke(site)
    (row,) = site.log.read(after=answer.first - 1, limit=1)
    assert row.event == KeyRevoked(key_id="k1", reason="lost")
    assert [(key.issued.key_id, key.revoked_at) for key in keys_of(site.log)] == [
        ("k1", NINE + HOUR),
        ("k2", None),
    ]
    assert [k.issued.key_id for k in keys_of(site.log, behind="k1", limit=1)] == ["k2"]
    assert load_key(site.log, "k1").revoked_reason == "lost"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"label": " "}, "label"),
        ({"label": "x" * 201}, "label"),
        ({"roles": ()}, "no role"),
        ({"party": "a b"}, "party"),
        ({"expires_at": NINE}, "expired"),
        ({"rate_per_minute": -1}, "rate_per_minute"),
        ({"rate_per_minute": 1_000_001}, "rate_per_minute"),
        ({"key_id": "a/b"}, "key id"),
    ],
)
def test_a_key_that_cannot_be_is_refused(
    site: Site, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidValue, match=said):
        issue(site, **more)
    assert keys_of(site.log) == []


def test_a_key_for_places_nobody_knows_is_refused(site: Site) -> None:
    with pytest.raises(Unknown, match="elsewhere"):
        issue(site, zones=("elsewhere",))
    with pytest.raises(Unknown, match="elsewhere"):
        issue(site, stations=("elsewhere",))


def test_a_digest_that_is_no_sha256_is_refused(site: Site) -> None:
    command = IssueKey(label="x", roles=("cso",))
    with pytest.raises(InvalidValue, match="SHA-256"):
        issue_key(site.system, command, by(), key_id="k1", digest=b"short")


def test_a_repeated_request_is_answered_again_whatever_was_drawn(site: Site) -> None:
    first = issue(site, "k1", "c1")
    again = issue(site, "k2", "c1")
    assert (again.first, again.repeated) == (first.first, True)
    assert [key.issued.key_id for key in keys_of(site.log)] == ["k1"]
    with pytest.raises(RequestMismatch):
        issue(site, "k3", "c1", party="other")


def test_an_id_is_never_given_twice(site: Site) -> None:
    issue(site)
    with pytest.raises((Refused, Conflict)):
        issue(site)


def test_a_key_unknown_or_revoked_cannot_be_revoked(site: Site) -> None:
    with pytest.raises(Unknown, match="never issued"):
        revoke(site)
    issue(site)
    with pytest.raises(InvalidValue, match="reason"):
        revoke(site, reason=" ")
    revoke(site)
    with pytest.raises(Refused, match="was revoked"):
        revoke(site)
