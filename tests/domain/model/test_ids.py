"""Identifiers: the grammar of EVSE ids, names and streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.model import ids
from domain.model.values import DAY, SECOND


@pytest.mark.parametrize(
    "text",
    ["DE*AB7*E840*6487", "DEAB7E8406487", "FR*A23*E45B*78C", "US*CAL*E1", "NLABCEA"],
)
def test_evse_ids_by_the_grammar_are_taken(text: str) -> None:
    assert ids.evse_id_of(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "E1",
        "de*ab7*E1",
        "DE*AB7*1",
        "DE*AB7*E",
        "DE*AB7*E*1",
        "DE*AB7*E1*",
        "DE*AB*E1",
        "DE*AB7*E" + "1" * 32,
        "DE*AB7*E1\n",
        "DE*AB7*Eß",
        "D3*AB7*E1",
        "DE*AB7*C1",
    ],
)
def test_evse_ids_against_the_grammar_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"EVSE id .* is not country"):
        ids.evse_id_of(text)


@given(st.from_regex(r"[A-Z]{2}\*[A-Z0-9]{3}\*E[A-Z0-9]{1,31}", fullmatch=True))
def test_outlets_have_up_to_31_characters(text: str) -> None:
    assert ids.evse_id_of(text) == text


@pytest.mark.parametrize("text", ["a", "Garage-1", "x" * 64, "0.a_b*c"])
def test_names_are_taken(text: str) -> None:
    assert ids.name_of("zone id", text) == text


@pytest.mark.parametrize("text", ["", "-a", "a b", "x" * 65, "a/b", "ä", "a\n"])
def test_what_is_no_name_is_refused(text: str) -> None:
    """A slash, above all, for it parts the keys of guard rows."""
    with pytest.raises(InvalidValue, match=r"zone id .* is not 1 to 64"):
        ids.name_of("zone id", text)


def test_day_streams_are_named_by_utc_days() -> None:
    assert ids.plan_stream("z", DAY - 1) == "plan-z-1970-01-01"
    assert ids.plan_stream("z", DAY) == "plan-z-1970-01-02"
    assert ids.delivery_stream("s", DAY + SECOND) == "delivery-s-1970-01-02"
