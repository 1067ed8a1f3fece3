"""Where the master key comes from, and which files are refused."""

from pathlib import Path

import pytest

from domain.errors import StoreError
from domain.store import master_key


def test_the_users_key_is_made_once(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "settings")}
    made = master_key.load(environment)
    assert made.created
    assert made.path == tmp_path / "settings" / "voltledger" / "master.key"
    assert made.path.stat().st_mode & 0o777 == 0o600
    found = master_key.load(environment)
    assert (found.key, found.created) == (made.key, False)
    assert len(made.key) == 32


def test_without_settings_it_is_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".config" / "voltledger" / "master.key"
    assert master_key.default_path({}) == path


def test_a_named_file_goes_before_the_users(tmp_path: Path) -> None:
    named = tmp_path / "k"
    with pytest.raises(StoreError, match="No such file"):
        master_key.load({master_key.KEY_FILE: str(named)})
    master_key.load_or_create(named, b"k" * 32)
    assert master_key.load({master_key.KEY_FILE: str(named)}).key == b"k" * 32


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_key_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k"
    path.write_bytes(b"k" * 32)
    path.chmod(mode)
    with pytest.raises(StoreError, match=rf"k has mode 0{mode:o}; only its owner"):
        master_key.load_or_create(path)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "k"
    path.write_bytes(b"k" * length)
    path.chmod(0o600)
    with pytest.raises(StoreError, match=f"has {length} bytes; a master key has 32"):
        master_key.load_or_create(path)


def test_the_key_is_not_shown(tmp_path: Path) -> None:
    shown = repr(master_key.load_or_create(tmp_path / "k", b"secret" * 5 + b"!!"))
    assert "secret" not in shown
