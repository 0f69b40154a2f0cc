"""Read, seek, stream, write and resize a video; uint8 <-> [-1, 1].

from tapnet import video
clip = video.open("clip.mp4")           # or a folder of images, or [T, H, W, 3] uint8
for frame in clip: ...                  # [H, W, 3] uint8, one frame in memory at a time
video.write("copy.mp4", clip, clip.fps)
"""

from tapnet.video.reading import DEFAULT_FPS, Video, open, width_by_height
from tapnet.video.resizing import normalize, resize, resize_tapvid, to_uint8
from tapnet.video.writing import write

__all__ = [
    "DEFAULT_FPS",
    "Video",
    "normalize",
    "open",
    "resize",
    "resize_tapvid",
    "to_uint8",
    "width_by_height",
    "write",
]
