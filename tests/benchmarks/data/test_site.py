from pathlib import Path

import pytest

from benchmarks.data.site import evse_id_of_station, read_site, site_of_stations
from domain.errors import InvalidValue
from domain.model.values import Current


def written(folder: Path, text: str) -> Path:
    path = folder / "site.json"
    path.write_text(text)
    return path


def test_the_site_is_the_stations_the_file_names() -> None:
    site = site_of_stations(["CA-311", "CA-148", "CA-311"])
    assert [s.station_id for s in site.stations] == ["CA-148", "CA-311"]
    assert [s.evse_id for s in site.stations] == ["US*ACN*ECA148", "US*ACN*ECA311"]
    assert {(s.max_w, s.floor_w) for s in site.stations} == {(6_656, 1_248)}


@pytest.mark.parametrize(
    ("station_id", "evse_id"),
    [
        ("CA-311", "US*ACN*ECA311"),
        ("11900388", "US*ACN*E11900388"),
        ("a.b", "US*ACN*EAB"),
    ],
)
def test_an_evse_id_keeps_letters_and_digits(station_id: str, evse_id: str) -> None:
    assert evse_id_of_station(station_id) == evse_id


@pytest.mark.parametrize("station_id", ["", "-", "Ä1", "a b", "A" * 32])
def test_a_station_that_gives_no_evse_id_is_refused(station_id: str) -> None:
    with pytest.raises(InvalidValue, match="is not"):
        evse_id_of_station(station_id)


def test_two_stations_with_one_evse_id_are_refused_naming_both() -> None:
    with pytest.raises(InvalidValue, match=r"'CA-311' and 'CA311' .* US\*ACN\*ECA311"):
        site_of_stations(["CA311", "CA-311"])


def test_a_site_file_states_limits_and_may_have_more_stations(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """{"stations": [
            {"station_id": "B", "voltage_v": 230, "phases": 3, "max_a": 16},
            {"station_id": "A", "voltage_v": 400, "max_a": 125.5, "floor_a": 5.3,
             "current": "DC"}
        ]}""",
    )
    a, b = read_site(path, ["B"]).stations
    assert (a.station_id, a.current, a.max_w, a.floor_w) == (
        "A",
        Current.DC,
        50_200,
        2_120,
    )
    assert (b.station_id, b.current, b.max_w, b.floor_w) == (
        "B",
        Current.AC,
        11_040,
        4_140,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a site"),
        ("{", "is not a site"),
        ('{"stations": []}', "has no stations"),
        ("{}", "missing required field `stations`"),
        (
            '{"stations": [{}]}',
            r"missing required field `station_id` - at `$.stations[0]`",
        ),
        ('{"stations": [{"station_id": 1}]}', "$.stations[0].station_id"),
        ('{"stations": [{"station_id": "A", "max_w": 1}]}', "unknown field `max_w`"),
        ('{"stations": [{"station_id": "A", "current": "XX"}]}', "'XX'"),
        ('{"stations": [{"station_id": "A", "max_a": NaN}]}', "is not a site"),
        (
            '{"stations": [{"station_id": "A", "max_a": 5}]}',
            "[0].max_a 5.0 is not within 6",
        ),
        (
            '{"stations": [{"station_id": "A", "max_a": 1e9}]}',
            "is not within 6.0..1000",
        ),
        (
            '{"stations": [{"station_id": "A", "floor_a": -1}]}',
            "[0].floor_a -1.0 is not",
        ),
        ('{"stations": [{"station_id": "A", "voltage_v": 0}]}', "voltage_v 0 is not"),
        (
            '{"stations": [{"station_id": "A", "phases": 4}]}',
            "phases 4 is not within 1..3",
        ),
        (
            '{"stations": [{"station_id": "A", "phases": 3, "current": "DC"}]}',
            "phases 3 is not within 1..1",
        ),
        ('{"stations": [{"station_id": "A"}, {"station_id": "A"}]}', "'A' and 'A'"),
        (
            '{"stations": [{"station_id": "A"}, {"station_id": "%"}]}',
            "station '%' is not",
        ),
        ('{"stations": [{"station_id": "B"}]}', "lacks the stations A"),
    ],
)
def test_a_bad_site_file_is_refused_saying_where(
    tmp_path: Path, text: str, said: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidValue) as refused:
        read_site(path, ["A"] if "lacks" in said else [])
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)


def test_a_site_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="cannot be read: No such file"):
        read_site(tmp_path / "none.json", [])
