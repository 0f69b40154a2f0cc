"""`tapnet studio` and `tapnet studio-user`: what they are told, and what they say."""

import io
from pathlib import Path

import pytest

from tapnet import studio_cli
from tapnet.cli import main

PASSWORD = "correct horse"


def user(capsys, monkeypatch, *words: str, said: str = PASSWORD) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(said + "\n"))
    code = main(["studio-user", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_accounts_are_added_listed_and_removed(tmp_path, capsys, monkeypatch) -> None:
    there = ["--folder", str(tmp_path)]
    code, out, _ = user(capsys, monkeypatch, "add", "maria", "--role", "reviewer", *there)
    assert (code, out) == (0, "added maria, reviewer\n")
    assert "maria" in user(capsys, monkeypatch, "list", *there)[1]
    code, _, err = user(capsys, monkeypatch, "add", "maria", *there)
    assert code == 2
    assert "already" in err
    assert user(capsys, monkeypatch, "password", "maria", *there, said="another horse")[0] == 0
    assert user(capsys, monkeypatch, "remove", "maria", *there)[0] == 0
    assert "maria" not in user(capsys, monkeypatch, "list", *there)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["add", "maria", "--role", "king"], "role"),
        (["remove", "nobody"], "no account 'nobody'"),
        (["password", "nobody"], "there are none"),
    ],
)
def test_mistakes_with_accounts_are_told(tmp_path, capsys, monkeypatch, words, told) -> None:
    code, _, err = user(capsys, monkeypatch, *words, "--folder", str(tmp_path))
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_a_short_password_is_refused(tmp_path, capsys, monkeypatch) -> None:
    code, _, err = user(capsys, monkeypatch, "add", "a", "--folder", str(tmp_path), said="short")
    assert code == 2
    assert "8" in err


def test_a_password_is_asked_for_twice(tmp_path, monkeypatch, capsys) -> None:
    answers = iter([PASSWORD, "another horse"])
    monkeypatch.setattr(studio_cli.getpass, "getpass", lambda _: next(answers))
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    assert main(["studio-user", "add", "maria", "--folder", str(tmp_path)]) == 2
    assert "twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing-there"], "folder of videos"),
        ([".", "--max-upload", "much"], "4GB"),
        ([".", "--workers", "-1"], "workers"),
        ([".", "--port", "99999"], "port"),
        ([".", "--host", "999.1.1.1"], "999.1.1.1"),
        ([".", "--database", "mysql://x"], "postgresql"),
        ([".", "--certificate", "gone.pem"], "PEM file"),
        ([".", "--certificate", "text.pem"], "--key"),
        ([".", "--key", "text.pem"], "--certificate"),
    ],
)
def test_mistakes_of_the_studio_are_told(tmp_path, capsys, monkeypatch, words, told) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.pem").write_text("no certificate")
    if words[1:2] == ["--host"]:
        user(capsys, monkeypatch, "add", "maria", "--folder", ".")
    assert main(["studio", *words, "--no-browser"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 << 30), ("500mb", 500 << 20), ("1 TB", 1 << 40)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert studio_cli._bytes(text) == size


def test_a_video_stands_for_its_folder(tmp_path) -> None:
    video = tmp_path / "clip.mp4"
    video.touch()
    assert studio_cli._folder_and_video(video) == (tmp_path, video)
    assert studio_cli._folder_and_video(tmp_path) == (tmp_path, None)
    with pytest.raises(FileNotFoundError):
        studio_cli._folder_and_video(Path(tmp_path / "gone"))
