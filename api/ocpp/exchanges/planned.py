"""Information exchanges that no message of a station carries, or does not yet.

With the energy manager (RM) they go by `/v1`; S2 comes later. What is V2G, dynamic or
frequency regulation needs OCPP 2.1, and comes later; until then it is refused.
"""

from typing import Final

from api.ocpp.exchange import ALL_VERSIONS, Carrier, InformationExchange, Module

_BY_V1: Final = "not a station's to tell or hear: by `/v1`, later by S2"
_LATER_2_1: Final = "later: not carried yet"
_REFUSED: Final = "refused: no message of this version has it"
_OLDER: Final = ALL_VERSIONS[:2]


def _not_of_stations(id_: str, what: str) -> InformationExchange:
    return InformationExchange(id_, what, (Carrier(ALL_VERSIONS, "∅", note=_BY_V1),))


def _later(id_: str, what: str, older: str = _REFUSED) -> InformationExchange:
    return InformationExchange(
        id_,
        what,
        (
            Carrier(("2.1",), "∅", note=_LATER_2_1),
            Carrier(_OLDER, "∅", note=older),
        ),
    )


MODULE: Final = Module(
    exchanges=(
        _not_of_stations("E2.Info1", "an envelope that follows from incentives"),
        _not_of_stations("E3.Info1", "constraints of power and energy"),
        _not_of_stations("E3.Info2", "an envelope in answer to constraints"),
        _not_of_stations("E3.Info3", "the aggregated plan (AETP)"),
        _not_of_stations("E4.Info1", "an envelope of the RM's own accord"),
        _not_of_stations("E4.Info2", "the aggregated plan (AETP) that it leads to"),
        _not_of_stations("E5.Info1", "a curtailment from the DSO, by the RM"),
        InformationExchange(
            "E5.Info2",
            "ETPs that the DSO's curtailment leads to",
            (
                Carrier(
                    ALL_VERSIONS,
                    "∅",
                    note="later: an ETP goes out as in E1.Info2, that it is mandatory "
                    "is not said",
                ),
            ),
        ),
        _not_of_stations("E5.Info3", "the aggregated plan (AETP) after it"),
        _later("E6.Info1", "an ETP below zero"),
        _not_of_stations("E7.Info1", "an envelope for dynamic control"),
        _later(
            "E7.Info2",
            "a dynamic ETP",
            "later: as a profile of one period that is sent again and again",
        ),
        _later("E7.Info3", "how an EV fares under dynamic control"),
        _not_of_stations("E7.Info4", "the aggregated plan (AETP) after it"),
        _later("E8.Info1", "what the grid connection requires"),
        _later("E8.Info2", "parameters of V2X"),
        _later("E8.Info3", "how to regulate: baseline, power by frequency"),
        _later("E8.Info4", "regulation begins and ends"),
        _later("E8.Info5", "what regulation does, each second"),
    ),
)
