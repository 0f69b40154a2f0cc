"""Deterministic parameter filler and synthetic inputs for parity vectors.

numpy only.  Written for this project; not derived from any other code base.

Everything here is a pure function of (parameter name, shape, salt) or of
(seed, size).  The parameter NAME and SHAPE are those of the official public
checkpoint format:

* torch checkpoints : the state_dict key, e.g. ``resnet_torch.initial_conv.weight``
* Haiku .npy        : ``<module>/<param>``, e.g. ``tapir/~/resnet/~/initial_conv/w``
                      (state tree: ``<module>/<name>`` too)
* Flax .npz         : the flat npz key, e.g. ``backbone/embedding/kernel``

    fill(name, shape, salt)      -> float32 array (int32 for Haiku counters)
    fill_all({name: shape}, salt)-> {name: array}
    digest({name: array})        -> hex sha256, order independent
    make_video(seed, t, h, w)    -> uint8 [t, h, w, 3]
    smooth_field(seed, h, w, c)  -> float64 [h, w, c] in [0, 1]
"""

import hashlib
import math

import numpy as np

OPEN_SALT = 0x54415031  # vectors handed to developers


def seed_of(name, salt=OPEN_SALT):
    """First 8 bytes (big endian) of sha256(name) plus salt, modulo 2**64."""
    head = hashlib.sha256(name.encode("utf-8")).digest()[:8]
    return (int.from_bytes(head, "big") + int(salt)) % (1 << 64)


def draw(name, shape, salt=OPEN_SALT):
    """Standard normal float64 array, a function of the name and salt only."""
    rng = np.random.Generator(np.random.PCG64(seed_of(name, salt)))
    return rng.standard_normal(tuple(shape))


_BIAS = ("b", "bias", "offset", "in_proj_bias")
_TOKENS = (
    "mask_token",
    "unknown_token",
    "point_query_token",
    "image_pos_emb",
    "pos_embedding",
)
# Cost-volume position kernels: absolute values, so the heat map peaks where the
# features match instead of at the zero-padded border.
_POSITIVE = (
    "cost_volume_track_mods.hid1.",
    "cost_volume_track_mods.hid2.",
    "cost_volume_regression_1/",
    "cost_volume_regression_2/",
)
# (substring of the name, extra gain on 1/sqrt(fan_in)); first match wins.
_GAINS = (
    ("cost_volume_track_mods.hid1.", 0.7),
    ("cost_volume_track_mods.hid2.", 0.7),
    ("cost_volume_regression_1/", 0.7),
    ("cost_volume_regression_2/", 0.7),
    # TAPIR occlusion head: lift it from ~0.
    ("cost_volume_track_mods.hid3.", 2.0),
    ("cost_volume_track_mods.hid4.", 2.0),
    ("cost_volume_track_mods.occ_out.", 2.0),
    ("cost_volume_occlusion_", 2.0),
    ("occlusion_out/", 2.0),
    # TAPNext read-out heads: last layer only.
    ("coordinate_head.6.", 8.0),
    ("coordinate_head/layers_6/", 8.0),
    ("visible_head.6.", 3.0),
    ("visible_head/layers_6/", 3.0),
)


def _fan_in(name, leaf, shape):
    if leaf in ("weight", "in_proj_weight"):  # torch: output axis first
        return int(np.prod(shape[1:]))
    if "ffw_up" in name or "input_gate" in name or "a_gate" in name:
        return shape[1]  # [2, in, out] and [heads, in, out]
    if "conv_1d" in name:
        return shape[0]  # [taps, channels]
    if leaf == "kernel" and any(k in name for k in ("query/", "key/", "value/")):
        return shape[0]  # Flax attention [in, heads, head_dim]
    return int(np.prod(shape[:-1]))  # Haiku / Flax: output axis last


def fill(name, shape, salt=OPEN_SALT):
    """Value of one parameter (or Haiku state entry) of the official checkpoint."""
    shape = tuple(int(s) for s in shape)
    leaf = name.replace("/", ".").rsplit(".", 1)[-1]
    if leaf == "counter":  # Haiku ExponentialMovingAverage
        return np.full(shape, 1000, np.int32)
    if leaf == "hidden":  # keep equal to the matching debiased average
        name, leaf = name[: -len("hidden")] + "average", "average"
    z = draw(name, shape, salt)
    if leaf == "average":
        out = np.exp(0.3 * z) if "var_ema" in name else 0.1 * z
    elif leaf in _BIAS:
        out = 0.05 * z
    elif leaf == "scale" and "_pre_norm" in name:  # RMSNorm: used as 1 + scale
        out = 0.1 * z
    elif leaf == "scale" or (leaf == "weight" and len(shape) == 1):
        out = 1.0 + 0.1 * z
    elif leaf == "a_param":
        out = -3.0 + 0.5 * z
    elif leaf in _TOKENS:
        out = 0.3 * z
    else:
        gain = next((g for key, g in _GAINS if key in name), 1.0)
        if any(key in name for key in _POSITIVE):
            z = np.abs(z)
        out = z * (gain / math.sqrt(_fan_in(name, leaf, shape)))
    return out.astype(np.float32)


def fill_all(shapes, salt=OPEN_SALT):
    return {name: fill(name, shape, salt) for name, shape in shapes.items()}


def digest(params):
    """sha256 over sorted names, dtypes, shapes and little-endian bytes."""
    h = hashlib.sha256()
    for name in sorted(params):
        a = np.ascontiguousarray(params[name])
        h.update(name.encode("utf-8"))
        h.update(str(a.dtype).encode())
        h.update(str(tuple(a.shape)).encode())
        h.update(a.astype(a.dtype.newbyteorder("<")).tobytes())
    return h.hexdigest()


def smooth_field(seed, height, width, channels, passes=3):
    """Smoothed uniform noise in [0, 1]; only element-wise float64 arithmetic."""
    rng = np.random.Generator(np.random.PCG64(seed))
    c = rng.integers(0, 256, size=(height, width, channels)).astype(np.float64)
    for _ in range(passes):
        p = np.pad(c, ((1, 1), (0, 0), (0, 0)), mode="edge")
        c = (p[:-2] + 2.0 * p[1:-1] + p[2:]) / 4.0
        p = np.pad(c, ((0, 0), (1, 1), (0, 0)), mode="edge")
        c = (p[:, :-2] + 2.0 * p[:, 1:-1] + p[:, 2:]) / 4.0
    lo, hi = c.min(), c.max()
    return (c - lo) / (hi - lo)


def make_video(seed, num_frames, height, width, step=(1, 2), passes=3, jitter=6):
    """uint8 [T, H, W, 3]: a smooth texture sliding by `step` px/frame + noise."""
    dy, dx = step
    big_h = height + abs(dy) * (num_frames - 1)
    big_w = width + abs(dx) * (num_frames - 1)
    canvas = smooth_field(seed, big_h, big_w, 3, passes) * 255.0
    rng = np.random.Generator(np.random.PCG64(seed + 1))
    frames = []
    for t in range(num_frames):
        oy = t * dy if dy >= 0 else (num_frames - 1 - t) * -dy
        ox = t * dx if dx >= 0 else (num_frames - 1 - t) * -dx
        f = canvas[oy : oy + height, ox : ox + width]
        f = f + rng.integers(-jitter, jitter + 1, size=f.shape)
        frames.append(np.clip(np.rint(f), 0, 255).astype(np.uint8))
    return np.stack(frames)


def array_digest(a):
    a = np.ascontiguousarray(a)
    return hashlib.sha256(a.tobytes()).hexdigest()
