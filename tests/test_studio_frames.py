"""Frames come exactly, in any order, and what cannot be decoded harms nobody."""

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studio_app import FRAMES, SIZE, Client, add_video, make_video, running

from tapnet import video
from tapnet.studio.frames import Cache, Decoder, DecoderLost, FrameServer


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "clip.mp4")
    with running(folder) as client:
        add_video(client, folder / "clip.mp4")
        yield client


def pixels(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def folder_of(client: Client) -> Path:
    return client.app.state.studio.options.folder


def test_every_frame_is_the_one_that_was_asked_for_in_any_order(client) -> None:
    truth = video.open(folder_of(client) / "clip.mp4").read()
    order = [*range(FRAMES), *range(FRAMES - 1, -1, -1), 13, 2, 19, 0, 7]
    for n in order:
        shown = pixels(client.get(f"/api/videos/1/frames/{n}?format=png"))
        np.testing.assert_array_equal(shown, truth[n])


@pytest.mark.parametrize(("format", "kind"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_formats_are_what_they_say(client, format: str, kind: str) -> None:
    answer = client.get(f"/api/videos/1/frames/3?format={format}")
    assert Image.open(io.BytesIO(answer.content)).format == kind
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert abs(float(pixels(answer).mean()) - (10 + 3 * 11)) < 3


def test_height_makes_smaller_and_never_larger(client) -> None:
    height, width = SIZE
    smaller = pixels(client.get("/api/videos/1/frames/0?height=24"))
    assert smaller.shape[:2] == (24, round(24 * width / height))
    assert pixels(client.get("/api/videos/1/frames/0?height=1080")).shape[:2] == SIZE


def test_only_a_frame_of_a_known_state_of_the_file_is_kept_for_ever(client) -> None:
    stamp = client.get("/api/videos/1").json()["stamp"]
    assert "immutable" in client.get(f"/api/videos/1/frames/0?v={stamp}").headers["cache-control"]
    plain = client.get("/api/videos/1/frames/0")
    assert "no-cache" in plain.headers["cache-control"]
    tag = {"if-none-match": plain.headers["etag"]}
    assert client.get("/api/videos/1/frames/0", headers=tag).status_code == 304
    assert client.get("/api/videos/1/frames/1", headers=tag).status_code == 200


def test_frames_that_are_not_there(client) -> None:
    assert client.get(f"/api/videos/1/frames/{FRAMES}").status_code == 404
    assert client.get("/api/videos/7/frames/0").status_code == 404
    assert client.get("/api/videos/1/frames/-1").status_code == 422


def test_parts_of_the_file_are_given_by_range(client) -> None:
    whole = (folder_of(client) / "clip.mp4").read_bytes()
    part = client.get("/api/videos/1/file", headers={"range": "bytes=10-29"})
    assert part.status_code == 206
    assert part.content == whole[10:30]
    assert part.headers["content-type"] == "video/mp4"
    assert client.get("/api/videos/1/file").content == whole


def test_a_file_that_was_taken_away_is_told(tmp_path) -> None:
    with running(tmp_path) as client:
        add_video(client, make_video(tmp_path / "clip.mp4"))
        (tmp_path / "clip.mp4").unlink()
        for address in ("/api/videos/1/frames/0", "/api/videos/1/file"):
            answer = client.get(address)
            assert answer.status_code == 404
            assert "clip.mp4" in answer.json()["detail"]
        assert client.get("/api/videos").status_code == 200


def test_times_are_those_of_presentation(client) -> None:
    times = client.get("/api/videos/1").json()["times"]
    np.testing.assert_allclose(times, np.arange(FRAMES) / 25, atol=1e-6)


def test_a_decoder_that_dies_is_started_again(tmp_path) -> None:
    path = make_video(tmp_path / "clip.mp4")

    async def never() -> bool:
        return False

    async def look() -> None:
        server = FrameServer()
        try:
            before = await server.image(path, "a", 0, None, "png", never)
            for decoder in server._decoders.values():
                decoder._process.kill()
            assert await server.image(path, "a", 1, None, "png", never) != before
        finally:
            server.close()

    asyncio.run(look())


def test_who_went_away_is_not_served(tmp_path) -> None:
    path = make_video(tmp_path / "clip.mp4")

    async def gone() -> bool:
        return True

    async def look() -> None:
        server = FrameServer()
        try:
            assert await server.image(path, "a", 0, None, "jpg", gone) is None
        finally:
            server.close()

    asyncio.run(look())


def test_a_decoder_that_takes_too_long_is_ended(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tapnet.studio.frames.PATIENCE_SECONDS", 0.001)
    decoder = Decoder()
    try:
        with pytest.raises(DecoderLost):
            decoder.ask({"path": str(make_video(tmp_path / "clip.mp4"))})
    finally:
        decoder.close()


def test_the_cache_keeps_what_was_used_last_within_its_size() -> None:
    cache = Cache(10)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"1234")
    assert cache.get("b") is None
    assert cache.get("a") == b"1234"
    assert cache.get("c") == b"1234"
    cache.put("d", b"12345678901")
    assert cache.get("d") is None


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by the system")
def test_a_process_with_little_memory_fails_instead_of_filling_it() -> None:
    code = (
        "from tapnet.studio.options import limit_memory\n"
        "import numpy as np\n"
        "limit_memory(600 << 20)\n"
        "try:\n    np.ones(1 << 30, np.uint8)\n"
        "except MemoryError:\n    print('limited')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "limited"
