"""Videos come through the browser: in parts, from strangers, into one folder."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from studio_app import FRAMES, make_video, running

from tapnet.studio import probing, uploads
from tapnet.studio.probing import probe
from tapnet.studio.uploads import Uploads, safe_name

KEY = "mov,mp4,m4a,3gp,3g2,mj2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def client(folder):
    with running(folder, max_upload=1 << 20) as client:
        yield client


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> bytes:
    return make_video(tmp_path_factory.mktemp("elsewhere") / "film.mp4").read_bytes()


def begin(client, name: str, size: int) -> str:
    answer = client.post("/api/uploads", json={"name": name, "size": size})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def send(client, number: str, offset: int, body: bytes):
    headers = {"upload-offset": str(offset)}
    return client.patch(f"/api/uploads/{number}", headers=headers, content=body)


def upload(client, name: str, body: bytes):
    number = begin(client, name, len(body))
    assert send(client, number, 0, body).status_code == 200
    return client.post(f"/api/uploads/{number}/finish")


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_an_upload_goes_on_where_it_stopped(client, folder, film) -> None:
    number = begin(client, "my film.mp4", len(film))
    assert send(client, number, 0, film[:1000]).json() == {"offset": 1000}
    assert client.get(f"/api/uploads/{number}").json() == {"offset": 1000, "size": len(film)}
    early = client.post(f"/api/uploads/{number}/finish")
    assert early.status_code == 422
    assert "1000" in early.json()["detail"]
    wrong = send(client, number, 900, film[900:])
    assert (wrong.status_code, wrong.json()["offset"]) == (409, 1000)
    assert send(client, number, 1000, film[1000:]).json() == {"offset": len(film)}
    video = client.post(f"/api/uploads/{number}/finish").json()
    assert (video["name"], video["frames"]) == ("uploads/my film.mp4", FRAMES)
    assert (folder / "uploads" / "my film.mp4").read_bytes() == film
    assert client.get(f"/api/uploads/{number}").status_code == 404
    assert not [name for name in files(folder) if name.endswith((".part", ".json"))]


def test_what_was_received_survives_a_restart(tmp_path, film) -> None:
    with running(tmp_path) as client:
        number = begin(client, "film.mp4", len(film))
        send(client, number, 0, film[:2000])
    with running(tmp_path) as client:
        assert client.get(f"/api/uploads/{number}").json()["offset"] == 2000
        assert send(client, number, 2000, film[2000:]).status_code == 200
        assert client.post(f"/api/uploads/{number}/finish").status_code == 200


def test_a_file_that_was_there_is_never_replaced(client, folder, film) -> None:
    first = upload(client, "twice.mp4", film).json()
    second = upload(client, "twice.mp4", film).json()
    assert first["name"] == "uploads/twice.mp4"
    assert second["name"] == "uploads/twice (2).mp4"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("text.mp4", b"I am no video at all. " * 100),
        ("empty.mp4", b"\0" * 5000),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n../clip.mp4\n#EXT-X-ENDLIST"),
        ("concat.mp4", b"ffconcat version 1.0\nfile '../../../etc/hostname'\n"),
        ("page.mp4", b"<html><script>alert(1)</script></html>"),
        ("program.mp4", b"\x7fELF" + bytes(500)),
    ],
)
def test_what_is_no_video_is_refused_and_not_kept(client, folder, name: str, body: bytes) -> None:
    before = files(folder)
    answer = upload(client, name, body)
    assert answer.status_code == 422
    assert "expected" in answer.json()["detail"]
    assert str(folder) not in answer.json()["detail"]
    assert files(folder) == before


def test_half_a_video_is_refused(client, film) -> None:
    assert upload(client, "half.mp4", film[: len(film) // 3]).status_code == 422


def test_too_much_is_refused_before_it_is_sent(client) -> None:
    long = client.post("/api/uploads", json={"name": "long.mp4", "size": (1 << 20) + 1})
    assert long.status_code == 422
    number = begin(client, "short.mp4", 10)
    assert send(client, number, 0, bytes(11)).status_code == 422
    assert client.get(f"/api/uploads/{number}").json()["offset"] == 0


def test_a_part_that_is_too_long_is_refused(client) -> None:
    number = begin(client, "a.mp4", 1 << 20)
    length = {"upload-offset": "0", "content-length": str(33 << 20)}
    answer = client.patch(f"/api/uploads/{number}", headers=length, content=b"x")
    assert answer.status_code == 413


def test_a_full_disk_is_told(client, monkeypatch, film) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(uploads.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        answer = client.post("/api/uploads", json={"name": "a.mp4", "size": 1000})
        assert answer.status_code == 422
        assert "free some space" in answer.json()["detail"]
    number = begin(client, "film.mp4", len(film))

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(uploads.os, "write", full)
        answer = send(client, number, 0, film)
    assert answer.status_code == 507
    assert "disk" in answer.json()["detail"]
    assert send(client, number, 0, film).status_code == 200


@pytest.mark.parametrize("number", ["0" * 32, "..", "../secret", "%2e%2e%2fsecret", "x" * 32])
def test_uploads_that_were_not_begun(client, number: str) -> None:
    assert client.get(f"/api/uploads/{number}").status_code in (404, 422)
    assert send(client, number, 0, b"x").status_code in (404, 405, 422)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd.mp4"),
        ("C:\\Users\\me\\film.MOV", "film.mov"),
        (".hidden.mp4", "hidden.mp4"),
        ("..", "video.mp4"),
        ("été 2026 (1).mp4", "été 2026 (1).mp4"),
        ("film.mkv", "film.mp4"),
        ("a/b:c*d?.mp4", "b_c_d_.mp4"),
        ("x" * 300 + ".mp4", "x" * 120 + ".mp4"),
        ("nul\0byte.mp4", "nul_byte.mp4"),
        ("", "video.mp4"),
    ],
)
def test_names_are_those_of_files_in_one_folder(name: str, kept: str) -> None:
    assert safe_name(name, KEY) == kept


def test_names_that_lead_elsewhere_stay_in_the_folder(client, folder, film) -> None:
    before = files(folder)
    video = upload(client, "../../../outside.mp4", film).json()
    assert video["name"] == "uploads/outside.mp4"
    assert files(folder) - before == {"uploads/outside.mp4"}


def test_uploads_that_nobody_goes_on_with_are_removed(tmp_path) -> None:
    kept = Uploads(tmp_path, 1000)
    old = kept.begin("a.mp4", 100, "maria")
    long_ago = time.time() - uploads.KEPT_SECONDS - 10
    for path in (tmp_path / ".tapnet" / "uploads").iterdir():
        os.utime(path, (long_ago, long_ago))
    new = kept.begin("b.mp4", 100, "maria")
    with pytest.raises(KeyError):
        kept.get(old.id)
    assert kept.get(new.id).name == "b.mp4"


def test_a_video_of_giant_frames_is_refused(tmp_path, monkeypatch) -> None:
    path = make_video(tmp_path / "clip.mp4")
    assert (probe(path).width, probe(path).frames) == (64, FRAMES)
    monkeypatch.setattr(probing, "MAX_PIXELS", 1000)
    assert "million pixels" in str(probing.main(path)["error"])
    monkeypatch.setattr(probing, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(probing, "MAX_FRAMES", FRAMES - 1)
    assert "frames" in str(probing.main(path)["error"])


def test_a_file_that_takes_too_long_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(probing, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(ValueError, match="it takes longer"):
        probe(make_video(tmp_path / "clip.mp4"))
