from pathlib import Path

import pytest

from api.ocpp import v16, v21, v201
from api.ocpp.generate import VERSIONS, generate

OCPP = Path(v16.__file__).parents[1]


@pytest.mark.parametrize("package", VERSIONS)
def test_what_is_committed_is_what_the_generator_writes(package: str) -> None:
    for name, text in generate(package).by_file():
        assert (OCPP / package / name).read_bytes() == text.encode(), name


@pytest.mark.parametrize("package", VERSIONS)
def test_the_folder_of_a_version_holds_nothing_else(package: str) -> None:
    written = {name for name, _ in generate(package).by_file()}
    assert {path.name for path in (OCPP / package).glob("*.py")} == written


def test_each_version_has_its_actions() -> None:
    assert len(v16.EXCHANGES) == 39
    assert len(v201.EXCHANGES) == 64
    assert len(v21.EXCHANGES) == 91
    unanswered = [name for name, one in v21.EXCHANGES.items() if one.response is None]
    assert unanswered == ["NotifyPeriodicEventStream"]


def test_names_that_words_do_not_give_are_the_wires() -> None:
    from msgspec.structs import fields

    period = {
        one.name: one.encode_name
        for one in fields(v21.datatypes.ChargingSchedulePeriod)
    }
    assert period["setpoint_reactive_l2"] == "setpointReactive_L2"
    assert period["evse_sleep"] == "evseSleep"
