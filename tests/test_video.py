"""Videos are read frame by frame and exactly, whatever the file; what is written can be read."""

import gc
import os
import struct
import tracemalloc
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition
from PIL import Image, ImageOps

from tapnet import video

BITS = 12
FPS = 25


def numbered(n: int, size: tuple[int, int] = (48, 96)) -> np.ndarray:
    """A frame that shows n in binary: twelve upright bars on the upper half, over a moving ramp."""
    h, w = size
    frame = np.zeros((h, w, 3), np.uint8)
    for bit in range(BITS):
        frame[: h // 2, bit * w // BITS : (bit + 1) * w // BITS] = 230 if n >> bit & 1 else 25
    frame[h // 2 :] = ((np.arange(w) * 2 + 3 * n) % 256)[:, None]
    return frame


def number(frame: np.ndarray) -> int:
    """What `numbered` shows."""
    h, w = frame.shape[:2]
    bars = frame[h // 8 : h // 3, [(2 * bit + 1) * w // (2 * BITS) for bit in range(BITS)]]
    return sum(1 << bit for bit, level in enumerate(bars.mean((0, 2))) if level > 127)


def make(
    path: Path,
    codec: str = "libx264",
    ticks: Iterable[int] = range(60),
    time_base: Fraction = Fraction(1, FPS),
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (48, 96),
    movflags: str = "",
    rotation: int = 0,
) -> Path:
    """Frame i shows i and is presented at ticks[i]."""
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=FPS, options=options or {"g": "12", "crf": "20"})
        stream.height, stream.width = size
        stream.pix_fmt, stream.codec_context.time_base = pix_fmt, time_base
        if rotation:
            stream.set_display_rotation(rotation)
        for i, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(numbered(i, size), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def packets_of(path: Path) -> list[tuple[av.Packet, int]]:
    with av.open(str(path)) as container:
        return [(p, p.pts) for p in container.demux(video=0) if p.size]


def assert_exact(clip: video.Video, numbers: list[int]) -> None:
    """Every way of reading gives the frames that show `numbers`."""
    assert len(clip) == len(numbers)
    assert [number(f) for f in clip] == numbers
    rng = np.random.default_rng(0)
    for _ in range(12):
        start, stop = sorted(rng.integers(0, len(clip) + 1, 2).tolist())
        assert [number(f) for f in clip.read(start, stop)] == numbers[start:stop]
    for i in rng.permutation(len(clip))[:8].tolist():
        assert number(clip.read(i, i + 1)[0]) == numbers[i]
    start, stop = len(clip) // 3, len(clip) - 2
    assert [number(f) for f in clip.frames_backward(start, stop)] == numbers[start:stop][::-1]
    assert clip.warnings == []


# Reading: exactly the frames that a player shows


FILES = {
    "h264.mp4": {},
    "open_gop.mp4": {"options": {"g": "12", "x264-params": "open-gop=1:bframes=3"}},
    "fragmented.mp4": {"movflags": "+frag_keyframe+empty_moov"},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=12:log-level=none"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "12", "bf": "2", "b": "2000k"}},
    "h264.avi": {},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {}},
    "h264.mkv": {},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "12", "b": "2000k"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "12", "b": "2000k"}},
    "h264.ts": {},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2", "b": "3000k"}},
    "raw.h264": {},
    "animation.gif": {"codec": "gif", "pix_fmt": "rgb8", "options": {}},
    "ten_bit.mp4": {"pix_fmt": "yuv420p10le"},
    "grey.mkv": {"codec": "ffv1", "pix_fmt": "gray", "options": {}},
    "alpha.mkv": {"codec": "ffv1", "pix_fmt": "bgra", "options": {}},
    "flash.flv": {"codec": "flv", "options": {"b": "2000k"}},
}


@pytest.mark.parametrize("name", FILES)
def test_any_range_of_a_file_holds_the_frames_it_names(tmp_path: Path, name: str) -> None:
    clip = video.open(make(tmp_path / name, **FILES[name]))
    assert_exact(clip, list(range(60)))
    assert clip.size == (48, 96)
    assert clip.fps == pytest.approx(FPS)
    assert np.diff(clip.times) == pytest.approx(np.full(59, 1 / FPS), abs=2e-3)


def test_variable_frame_rate_keeps_every_frame_and_its_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ticks = np.cumsum(rng.integers(5, 80, 60)) - 5
    path = make(tmp_path / "phone.mp4", ticks=ticks.tolist(), time_base=Fraction(1, 600))
    clip = video.open(path)
    assert_exact(clip, list(range(60)))
    assert clip.times - clip.times[0] == pytest.approx((ticks - ticks[0]) / 600, abs=1e-3)
    assert clip.fps == pytest.approx(59 * 600 / (ticks[-1] - ticks[0]), rel=0.01)


def test_a_file_that_starts_late_is_read_from_its_first_frame(tmp_path: Path) -> None:
    clip = video.open(make(tmp_path / "late.mkv", ticks=range(63, 123)))
    assert_exact(clip, list(range(60)))
    assert clip.times[0] == pytest.approx(63 / FPS, abs=1e-3)


def test_a_cut_that_copies_the_stream_has_the_frames_a_player_shows(tmp_path: Path) -> None:
    # As `ffmpeg -ss 0.68 -c copy` cuts: from the keyframe at 12 on, of which the edit list of the
    # new file skips all before frame 17.
    source = make(tmp_path / "whole.mp4", options={"g": "12", "sc_threshold": "0"})
    path = tmp_path / "cut.mp4"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        frame = int(1 / FPS / stream.time_base)
        for packet in old.demux(stream):
            if packet.size and packet.pts >= 12 * frame:
                packet.pts -= 17 * frame
                packet.dts -= 17 * frame
                packet.stream = copy
                new.mux(packet)
    assert sum(p.is_discard for p, _ in packets_of(path)) == 5
    assert_exact(video.open(path), list(range(17, 60)))


def test_a_recording_that_begins_between_keyframes_starts_at_the_first_one(tmp_path: Path) -> None:
    source = make(tmp_path / "whole.ts", options={"g": "12", "sc_threshold": "0"})
    path = tmp_path / "tuned_in.ts"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for i, packet in enumerate(p for p in old.demux(video=0) if p.size):
            if i >= 7:
                packet.stream = copy
                new.mux(packet)
    assert_exact(video.open(path), list(range(12, 60)))


def test_a_vp8_reference_that_is_never_shown_is_no_frame(tmp_path: Path) -> None:
    source = make(tmp_path / "whole.webm", "libvpx", options={"g": "12", "b": "2000k"})
    path = tmp_path / "hidden.webm"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for i, packet in enumerate(p for p in old.demux(video=0) if p.size):
            if i == 20:  # clear show_frame, bit 4 of the first byte
                content = bytes(packet)
                packet.update(bytes([content[0] & ~16]) + content[1:])
            packet.stream = copy
            new.mux(packet)
    assert_exact(video.open(path), [i for i in range(60) if i != 20])


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_a_phone_video_is_turned_as_it_is_shown(tmp_path: Path, rotation: int, turns: int) -> None:
    upright = video.open(make(tmp_path / "upright.mp4", ticks=range(3)))
    turned = video.open(make(tmp_path / "turned.mp4", ticks=range(3), rotation=rotation))
    expected = np.rot90(upright.read(), turns, axes=(1, 2))  # rot90 turns against the clock too
    assert turned.size == expected.shape[1:3]
    np.testing.assert_array_equal(turned.read(), expected)
    np.testing.assert_array_equal(turned.read(2, 3), expected[2:3])


def test_a_mirrored_video_is_shown_mirrored(tmp_path: Path) -> None:
    plain = make(tmp_path / "plain.mp4", ticks=range(2))
    mirrored = tmp_path / "mirrored.mp4"
    with av.open(str(plain)) as old, av.open(str(mirrored), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        copy.set_display_rotation(0, hflip=True)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    np.testing.assert_array_equal(video.open(mirrored).read(), video.open(plain).read()[:, :, ::-1])


def test_odd_sizes_keep_every_column_and_row(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), np.uint8)
    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = 3, 5, "bgra"
        for frame in pixels:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgra")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    np.testing.assert_array_equal(video.open(path).read(), pixels)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png", "mjpeg"])
def test_frames_that_carry_exif_are_turned_as_it_says(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path, exif = tmp_path / f"one.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(numbered(5))
    image.save(path, format="PNG" if suffix == "png" else "JPEG", exif=exif, quality=95)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored), int)
    (frame,) = video.open(path)
    assert frame.shape == expected.shape
    assert np.abs(frame - expected).mean() < 3


def test_parts_that_were_joined_are_read_to_their_end(tmp_path: Path) -> None:
    parts = [make(tmp_path / f"{i}.ts", ticks=range(at, at + 37)) for i, at in enumerate((500, 0))]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = video.open(tmp_path / "joined.ts")
    shown = [number(frame) for frame in clip]
    whole = [*range(37), *range(37)]
    assert shown in [whole, *(whole[:i] + whole[i + 1 :] for i in range(30, 44))]
    assert len(shown) == 74 or clip.warnings  # FFmpeg can take the packet at the seam for damaged
    assert (np.diff(clip.times) > 0).all()


def test_a_cover_that_is_not_marked_is_not_the_video(tmp_path: Path) -> None:
    path = tmp_path / "covered.mkv"
    with av.open(str(path), "w") as container:
        cover, film = container.add_stream("mjpeg", rate=1), container.add_stream("mpeg4", rate=FPS)
        cover.height, cover.width, cover.pix_fmt = 32, 32, "yuvj420p"
        film.height, film.width, film.pix_fmt = 48, 96, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(0, (32, 32)))))
        container.mux(cover.encode())
        for i in range(20):
            container.mux(film.encode(av.VideoFrame.from_ndarray(numbered(i))))
        container.mux(film.encode())
    assert [number(frame) for frame in video.open(path)] == list(range(20))


def test_a_rate_that_varies_is_no_sign_of_a_damaged_avi(tmp_path: Path) -> None:
    clip = video.open(
        make(tmp_path / "a.avi", codec="mpeg4", ticks=[0, 1, 5, 6, 20, 40], options={})
    )
    assert [number(frame) for frame in clip] == list(range(6))
    assert clip.warnings == []


def test_frames_of_another_size_are_told(tmp_path: Path) -> None:
    parts = [
        make(tmp_path / f"{i}.h264", size=size) for i, size in enumerate([(48, 96), (96, 192)])
    ]
    (tmp_path / "two.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = video.open(tmp_path / "two.h264")
    assert {frame.shape for frame in clip} == {(48, 96, 3)}
    assert "not all frames have the size of the first: they are resized to it" in clip.warnings


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_told_from_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match="expected a file, got a pipe"):
        video.open(tmp_path / "pipe.mp4")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_single_image_is_a_video_of_one_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"one.{suffix}"
    Image.fromarray(numbered(5)).save(path, quality=95)
    clip = video.open(path)
    assert [number(f) for f in clip] == [5]
    assert clip.size == (48, 96)
    assert clip.fps > 0


def test_a_name_that_looks_like_a_protocol_or_a_pattern_is_a_file(tmp_path: Path) -> None:
    for name in ("a:b.mp4", "frame%03d.mp4", "ünïcode 視頻.mp4"):
        assert len(video.open(str(make(tmp_path / name, ticks=range(2))))) == 2


def test_two_iterations_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    clip = video.open(make(tmp_path / "a.mp4", ticks=range(20)))
    pairs = zip(clip, clip.frames(5), strict=False)
    assert [(number(a), number(b)) for a, b in pairs] == [(i, i + 5) for i in range(15)]


def test_the_index_is_made_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tapnet.video import container

    path, decoded = make(tmp_path / "a.mp4"), []
    frames = container._frames

    def counting(*arguments):
        for frame in frames(*arguments):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(container, "_frames", counting)
    assert len(video.open(path)) == 60
    assert len(decoded) == 1  # the first, for size and rotation


# Ranges, memory


def test_an_empty_range_is_empty_and_a_wrong_one_an_error(tmp_path: Path) -> None:
    clip = video.open(make(tmp_path / "a.mp4", ticks=range(10)))
    assert clip.read(4, 4).shape == (0, 48, 96, 3)
    assert list(clip.frames(10)) == []
    assert list(clip.frames_backward(3, 3)) == []
    for start, stop in [(-1, 5), (0, 11), (6, 5)]:
        with pytest.raises(ValueError, match="the video has 10 frames; choose 0 <= start <= stop"):
            clip.read(start, stop)
        with pytest.raises(ValueError, match="the video has 10 frames"):
            clip.frames(start, stop)


def test_streaming_2000_frames_holds_a_few_at_a_time(tmp_path: Path) -> None:
    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to see the memory of FFmpeg")
    path = tmp_path / "long.mp4"
    with av.open(str(make(tmp_path / "short.mp4"))) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        packets = [(p, p.pts, p.dts) for p in old.demux(video=0) if p.size]
        length = 60 * int(1 / FPS / old.streams.video[0].time_base)
        for turn in range(34):
            for packet, pts, dts in packets:
                packet.pts, packet.dts, packet.stream = (
                    pts + turn * length,
                    dts + turn * length,
                    copy,
                )
                new.mux(packet)
    clip = video.open(path)
    levels = []
    for i, frame in enumerate(clip):
        assert number(frame) == i % 60
        if i % 250 == 249:
            levels.append(resident())
    frames = 250 * frame.nbytes  # what keeping them would take between two levels
    assert max(levels[2:]) - levels[1] < frames
    assert i == 34 * 60 - 1


def test_going_backward_holds_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapnet.video import reading

    frames = np.stack([numbered(i) for i in range(40)])
    monkeypatch.setattr(reading, "BLOCK_BYTES", 7 * frames[0].nbytes)
    clip, reads = video.open(frames), []
    read = clip.read

    def recording(start=0, stop=None):
        reads.append(stop - start)
        return read(start, stop)

    monkeypatch.setattr(clip, "read", recording)
    assert [number(f) for f in clip.frames_backward(2, 39)] == list(range(38, 1, -1))
    assert max(reads) == 7


# Damaged files


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi", "cut.webm"])
def test_a_file_cut_short_gives_the_frames_that_decode_and_says_so(
    tmp_path: Path, name: str
) -> None:
    codec = "libvpx" if name == "cut.webm" else "mpeg4"
    options = {"g": "12", "b": "2000k"}
    path = make(tmp_path / name, codec, options=options, movflags="+faststart" * ("mp4" in name))
    in_the_middle_of_40 = packets_of(path)[40][0]
    with open(path, "r+b") as file:
        file.truncate(in_the_middle_of_40.pos + in_the_middle_of_40.size // 2)
    clip = video.open(path)
    assert [number(f) for f in clip] == list(range(40))
    assert len(clip) == 40
    assert any("cut short" in warning for warning in clip.warnings)


@pytest.mark.parametrize("at", [0, 30, 59])
def test_a_hole_in_a_file_repeats_the_frame_beside_and_says_so(tmp_path: Path, at: int) -> None:
    path = make(tmp_path / "hole.mkv", "mjpeg", pix_fmt="yuvj420p", options={})
    content = bytearray(path.read_bytes())
    packet = bytes(packets_of(path)[at][0])
    place = content.index(packet)
    content[place : place + len(packet)] = bytes(len(packet))
    path.write_bytes(content)
    clip = video.open(path)
    expected = list(range(60))
    expected[at] = max(1, at - 1) if at else 1
    assert [number(f) for f in clip] == expected
    assert any("do not decode" in warning for warning in clip.warnings)
    assert [number(f) for f in clip.read(25, 35)] == expected[25:35]


def test_errors_say_what_is_wrong_with_a_source(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mp4").read_bytes()
    files = {
        "empty.mp4": (b"", "the file is empty"),
        "text.mp4": (b"not a video\n" * 99, "FFmpeg does not know this format"),
        "notes.txt": (b"\x1b[31mnot a video\n" * 99, "expected a video"),
        "no_moov.mp4": (whole[: len(whole) // 2], r"index \(moov\) is missing"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            video.open(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"none\.mp4: no such file or folder; check"):
        video.open(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="expected a path, a numpy array or a Video, got int"):
        video.open(3)  # type: ignore[arg-type]


def test_a_moving_webp_is_not_called_damaged(tmp_path: Path) -> None:
    first, *others = [Image.fromarray(numbered(i)) for i in range(3)]
    first.save(tmp_path / "a.webp", save_all=True, append_images=others)
    with pytest.raises(ValueError, match="FFmpeg knows no animated WebP: save it as GIF"):
        video.open(tmp_path / "a.webp")
    first.save(tmp_path / "still.webp")
    (tmp_path / "still.webp").write_bytes((tmp_path / "still.webp").read_bytes()[:60])
    with pytest.raises(ValueError, match="damaged or cut short"):
        video.open(tmp_path / "still.webp")
    first.save(tmp_path / "a.png", save_all=True, append_images=others)
    assert len(video.open(tmp_path / "a.png")) == 3


def test_a_song_is_no_video_even_with_a_cover(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound, cover = (
            container.add_stream("aac", rate=44100),
            container.add_stream("mjpeg", rate=1),
        )
        cover.height, cover.width, cover.pix_fmt = 48, 96, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(numbered(0), format="rgb24")
        container.mux([*cover.encode(picture.reformat(format="yuvj420p")), *cover.encode()])
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 44100
        container.mux([*sound.encode(silence), *sound.encode()])
    with pytest.raises(ValueError, match="the file holds only a cover and audio; choose another"):
        video.open(path)


# Folders and arrays


def test_images_of_a_folder_come_in_natural_order(tmp_path: Path) -> None:
    for i, name in enumerate(["f1.png", "f2.PNG", "f10.png", "f11.jpg", "g1.bmp"]):
        Image.fromarray(numbered(i)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._f1.png").write_bytes(b"left by a Mac")
    clip = video.open(tmp_path, fps=10)
    assert_exact(clip, [0, 1, 2, 3, 4])
    assert (clip.size, clip.fps) == ((48, 96), 10)
    assert clip.times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_images_may_be_grey_deep_transparent_or_turned(tmp_path: Path) -> None:
    grey = numbered(9)[..., 0]
    Image.fromarray(grey).save(tmp_path / "0.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "1.png")
    Image.fromarray(np.dstack([grey, grey, grey, grey])).save(tmp_path / "2.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn with the clock
    Image.fromarray(np.rot90(numbered(9)).copy()).save(tmp_path / "3.jpg", exif=exif, quality=95)
    clip = video.open(tmp_path)
    assert clip.size == (48, 96)
    assert [number(f) for f in clip] == [9] * 4
    np.testing.assert_array_equal(clip.read(0, 3), np.stack([numbered(9)] * 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["tif", "jpg", "png"])
def test_images_are_turned_as_they_are_shown(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(numbered(9)).save(tmp_path / f"0.{suffix}", exif=exif)
    with Image.open(tmp_path / f"0.{suffix}") as image:
        shown = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    clip = video.open(tmp_path)
    assert clip.size == ((96, 48) if orientation >= 5 else (48, 96))
    assert np.abs(clip.read()[0] - shown).max() <= (3 if suffix == "jpg" else 0)


def test_images_of_two_sizes_or_none_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a folder of images .* found none"):
        video.open(tmp_path)
    Image.fromarray(numbered(0)).save(tmp_path / "a.png")
    Image.fromarray(numbered(0, (24, 96))).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"a\.png is 96x48 and b\.png is 96x24; resize"):
        video.open(tmp_path)
    (tmp_path / "b.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"b\.png: not a readable image"):
        video.open(tmp_path)


def test_a_folder_of_pngs_is_opened_from_its_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        Image.fromarray(numbered(i)).save(tmp_path / f"{i}.png")
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "load", lambda self: pytest.fail("an image was decoded"))
        clip = video.open(tmp_path)
    assert [number(frame) for frame in clip] == [0, 1, 2]
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"1\.png: the image is damaged"):
        list(video.open(tmp_path))


def test_an_orientation_that_is_no_number_is_none(tmp_path: Path) -> None:
    field = struct.pack("<HHHI4sI", 1, 0x0112, 2, 4, b"top", 0)  # one, of text
    exif = b"Exif\0\0II*\0\x08\0\0\0" + field
    Image.fromarray(numbered(3)).save(tmp_path / "0.jpg", exif=exif, quality=95)
    assert [number(frame) for frame in video.open(tmp_path)] == [3]


def test_one_image_is_not_taken_for_narrow_frames() -> None:
    with pytest.raises(ValueError, match=r"looks like one image in colour; give image\[None\]"):
        video.open(numbered(0))
    assert len(video.open(np.zeros((5, 4, 3, 1), np.uint8))) == 5


def test_arrays_are_videos_and_videos_are_left_as_they_are() -> None:
    frames = np.stack([numbered(i) for i in range(10)])
    for array in (
        frames,
        frames[..., 0],
        frames[..., :1],
        np.concatenate([frames, frames[..., :1]], -1),
    ):
        clip = video.open(array)
        np.testing.assert_array_equal(clip.read(), frames)
        assert_exact(clip, list(range(10)))
        assert clip.fps == video.DEFAULT_FPS
        assert video.open(clip) is clip
    assert np.shares_memory(video.open(frames).read(2, 5), frames)
    for wrong in (frames.astype(np.float32), frames[0, 0], frames[..., :2], frames[:0]):
        with pytest.raises(ValueError, match="expected uint8"):
            video.open(wrong)


# Writing


def test_what_is_written_is_read_back_frame_by_frame(tmp_path: Path) -> None:
    frames = [numbered(i) for i in range(70)]
    video.write(tmp_path / "out.mp4", iter(frames), 30000 / 1001)
    clip = video.open(tmp_path / "out.mp4")
    assert_exact(clip, list(range(70)))
    assert clip.fps == pytest.approx(30000 / 1001)
    assert np.abs(clip.read().astype(int) - frames).mean() < 4


def test_colours_survive_writing(tmp_path: Path) -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
    for size in ((96, 128), (720, 1280)):  # players guess other matrices for small and for large
        frames = np.broadcast_to(np.array(colors, np.uint8)[:, None, None], (6, *size, 3))
        video.write(tmp_path / "out.mp4", frames, 25)
        middle = video.open(tmp_path / "out.mp4").read()[:, size[0] // 2, size[1] // 2]
        assert np.abs(middle.astype(int) - colors).max() <= 2


def test_a_written_file_is_what_browsers_play(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    video.write(path, [numbered(i) for i in range(65)], 25)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # faststart
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert (stream.codec_context.name, frame.format.name) == ("h264", "yuv420p")
        assert (frame.colorspace, frame.color_range) == (1, 1)  # BT.709, limited
        assert (frame.color_primaries, frame.color_trc) == (1, 1)
    keys = [i for i, (p, _) in enumerate(packets_of(path)) if p.is_keyframe]
    assert max(np.diff(keys)) <= 30


def test_an_odd_size_gains_a_copy_of_its_last_row_and_column(tmp_path: Path) -> None:
    frame = np.full((3, 5, 3), 40, np.uint8)
    frame[-1], frame[:, -1] = 200, 200
    video.write(tmp_path / "out.mp4", [frame], 25, crf=0)
    clip = video.open(tmp_path / "out.mp4")
    expected = np.pad(frame, ((0, 1), (0, 1), (0, 0)), mode="edge")
    assert (len(clip), clip.size, clip.fps) == (1, (4, 6), 25)
    assert np.abs(clip.read()[0].astype(int) - expected).max() <= 3


def test_a_lower_crf_keeps_more(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 1), np.uint8).repeat(3, -1)
    error = {}
    for crf in (5, 40):
        video.write(tmp_path / "out.mp4", frames, 25, crf=crf)
        error[crf] = np.abs(video.open(tmp_path / "out.mp4").read().astype(int) - frames).mean()
    assert error[5] < error[40] / 3


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    video.write(path, [numbered(0)], 25)
    before = path.read_bytes()

    def failing():
        yield numbered(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.write(path, failing(), 25)
    for frames, message in [
        ([], "expected at least one frame, got none"),
        ([numbered(0), numbered(0, (24, 24))], r"frame 1: expected .* got uint8 \[24, 24, 3\]"),
        ([numbered(0).astype(float)], r"frame 0: expected uint8 \[H W 3\].* got float64"),
        ([numbered(0)[..., 0]], "frame 0: expected uint8"),
    ]:
        with pytest.raises(ValueError, match=message):
            video.write(path, frames, 25)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"expected a name ending in \.mp4"):
        video.write(tmp_path / "out.webp", [numbered(0)], 25)


def test_frames_that_h264_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frames of at most 16384 pixels a side"):
        video.write(tmp_path / "out.mp4", [np.zeros((8, 16386, 3), np.uint8)], 25)
    video.write(tmp_path / "out.mp4", [np.zeros((8, 16384, 3), np.uint8)], 25)
    assert video.open(tmp_path / "out.mp4").size == (8, 16384)


@pytest.mark.parametrize("fps", [0, -25, 0.0003, 1e-320, 1001, np.inf, -np.inf, np.nan])
def test_a_rate_that_no_file_can_have_is_refused(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ValueError, match=rf"expected 0\.001 to 1000 .* fps = {fps}; give"):
        video.write(tmp_path / "out.mp4", [numbered(0)], fps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("fps", [0.001, 1 / 3, 1000])
def test_the_slowest_and_the_fastest_rate_are_read_back(
    tmp_path: Path, fps: float, suffix: str
) -> None:
    path = tmp_path / f"out.{suffix}"
    for count in (1, 3):
        video.write(path, [numbered(i) for i in range(count)], fps)
        clip = video.open(path)
        assert [number(frame) for frame in clip] == list(range(count))
        assert clip.fps == pytest.approx(fps, rel=1e-6)
        assert clip.warnings == []


# Values and sizes


def test_normalizing_and_back_is_the_identity_on_every_value() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    floats = video.normalize(values)
    assert (floats[0], floats[255], floats.dtype) == (-1, 1, torch.float32)
    assert floats[51] == pytest.approx(-0.6)  # 51 / 255 * 2 - 1
    assert torch.equal(video.to_uint8(floats), values)
    assert video.normalize(floats) is floats
    assert video.to_uint8(values) is values
    assert video.to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_a_halved_checkerboard_is_grey_and_not_aliased() -> None:
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 200
    clip = board.to(torch.uint8)[None, :, :, None].expand(2, 8, 8, 3)
    half = video.resize(clip, (4, 4))
    assert half.dtype == torch.uint8
    assert half.shape == (2, 4, 4, 3)
    assert half[:, 1:3, 1:3].float().sub(100).abs().max() <= 1
    assert torch.equal(video.resize(clip, (8, 8)), clip)


def test_resizing_keeps_raster_coordinates() -> None:
    x = (torch.arange(16) + 0.5).expand(12, 16)[..., None].expand(12, 16, 3)  # its own raster x
    resized = video.resize(x[None, None], (6, 32))
    assert resized.shape == (1, 1, 6, 32, 3)
    expected = (torch.arange(32) + 0.5) / 2
    torch.testing.assert_close(resized[0, 0, 3, 2:-2, 0], expected[2:-2])


def test_resizing_in_chunks_is_resizing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapnet.video import resizing

    clip = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (7, 20, 30, 3), np.uint8))
    whole = video.resize(clip, (9, 11))
    monkeypatch.setattr(resizing, "CHUNK_BYTES", 3 * 20 * 30 * 12)
    assert torch.equal(video.resize(clip, (9, 11)), whole)
    floats = video.resize(clip.float(), (9, 11))
    assert (floats - whole.float()).abs().max() <= 1
    assert video.resize(clip[:0], (9, 11)).shape == (0, 9, 11, 3)


def test_resizing_as_tapvid_does_equals_the_reference_reader() -> None:
    # Two frames at 24x40 and what the reference implementation's DAVIS reader made of them.
    reference = np.load(Path(__file__).parent / "data" / "tapvid_resize.npz")
    ours = video.resize_tapvid(reference["video"], (32, 32))
    np.testing.assert_array_equal(ours, reference["resized"])


def test_tapvid_resizing_is_lanczos_and_not_bilinear() -> None:
    edge = np.zeros((1, 8, 8, 3), np.uint8)
    edge[:, :, 4:] = 200
    row = video.resize_tapvid(edge, (8, 16))[0, 4, :, 0]
    assert row.max() > 200  # rings at an edge; bilinear never leaves the range


def test_memory_of_frames_is_not_kept_by_the_reader(tmp_path: Path) -> None:
    clip = video.open(make(tmp_path / "a.mp4", ticks=range(200)))
    tracemalloc.start()
    for _ in clip:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 48 * 96 * 3
