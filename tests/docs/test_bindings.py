import re

import pytest

from api.ocpp.codec import CODECS
from api.ocpp.exchange import ALL_VERSIONS
from api.ocpp.exchanges import MODULES
from tests.docs.bindings_page import PAGE, exchanges_of, page

# The information exchanges of the E use cases of IEC 63110-1.
INFOS = {"E1": 2, "E2": 2, "E3": 3, "E4": 2, "E5": 3, "E6": 1, "E7": 4, "E8": 5}
OF_STANDARD = [f"{e}.Info{n}" for e, last in INFOS.items() for n in range(1, last + 1)]


def test_the_page_is_what_the_modules_declare() -> None:
    told = "run `python -m tests.docs.bindings_page`"
    assert PAGE.read_text(encoding="utf-8") == page(), told


@pytest.mark.parametrize("id_", OF_STANDARD)
def test_an_exchange_of_the_standard_has_a_carrier_a_refusal_or_a_reason(
    id_: str,
) -> None:
    exchanges = exchanges_of().get(id_, [])
    versions = {v for e in exchanges for c in e.carriers for v in c.versions}
    assert versions == set(ALL_VERSIONS), f"{id_} is told of {sorted(versions)} only"


def test_a_carrier_has_messages_or_says_why_not() -> None:
    for module in MODULES:
        for exchange in module.exchanges:
            for carrier in exchange.carriers:
                named = f"{exchange.id} {exchange.what}"
                assert carrier.versions, named
                if carrier.fit == "∅":
                    assert carrier.note, named
                else:
                    assert carrier.actions, named
                    assert carrier.direction, named


def test_carriers_are_messages_of_their_versions() -> None:
    for module in MODULES:
        for exchange in module.exchanges:
            for carrier in exchange.carriers:
                for version in carrier.versions:
                    unknown = set(carrier.actions) - set(CODECS[version].exchanges)
                    assert not unknown, f"{version}: {unknown} of {exchange.id}"


def test_what_a_module_takes_in_is_declared_by_one() -> None:
    """Of a message that is handled nobody should find nothing on the page."""
    declared = {
        (version, action)
        for module in MODULES
        for exchange in module.exchanges
        for carrier in exchange.carriers
        if carrier.direction == "in"
        for version in carrier.versions
        for action in carrier.actions
    }
    handled = {key for module in MODULES for key in module.handlers}
    assert handled <= declared


def test_nothing_of_the_page_would_break_its_tables() -> None:
    rows = [line for line in page().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
