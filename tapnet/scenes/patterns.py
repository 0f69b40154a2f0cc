"""Tileable textures computed from noise and simple shapes: brick, wood, cloth, plaster, dots ...

Some are almost plain on purpose, some repeat: trackers must learn both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

SIZE = 256
_SEED = 20_220_101
_WARM = np.array([0.5, 0, -0.5])

Maker = Callable[[np.random.Generator], np.ndarray]  # -> [SIZE, SIZE, 3] float 0..1


def patterns() -> Iterator[tuple[str, np.ndarray]]:
    """(name, [256, 256, 3] uint8) of each texture; the same ones every time."""
    for kind, (maker, count) in _MAKERS.items():
        for number in range(count):
            rng = np.random.default_rng([_SEED, *kind.encode(), number])
            image = (maker(rng).clip(0, 1) * 255).round().astype(np.uint8)
            yield f"{kind}-{number}", image


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """(x, y), each [SIZE, SIZE] in 0..1."""
    steps = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(steps, steps)
    return x, y


def _noise(rng: np.random.Generator, slope: float, low: float = 1) -> np.ndarray:
    """[SIZE, SIZE] tileable noise, mean 0, deviation 1, amplitude falling as frequency^-slope."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE))) * SIZE
    spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE)))
    shaped = spectrum * np.where(frequency < low, 0, np.maximum(frequency, 1) ** -slope)
    noise = np.fft.ifft2(shaped).real
    return noise / noise.std()


def _color(rng: np.random.Generator, dark: float = 0.1, light: float = 0.9) -> np.ndarray:
    """A colour [3]: mostly muted and rather warm, as walls are; a strong one at times."""
    grey = rng.uniform(dark, light)
    strength = rng.choice([0.02, 0.05, 0.2], p=[0.45, 0.4, 0.15])
    return np.clip(grey + strength * (rng.normal(0, 1, 3) + _WARM), 0, 1)


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours `a` to `b` by `share` [SIZE, SIZE] in 0..1."""
    return a + (b - a) * share.clip(0, 1)[..., None]


def _blend(rng: np.random.Generator, field: np.ndarray, stops: int = 3) -> np.ndarray:
    """`field` (deviation 1) through a random scale of colours."""
    colors = np.stack([_color(rng) for _ in range(stops)])
    at = (field * 0.25 + 0.5).clip(0, 1) * (stops - 1)
    channels = [np.interp(at, np.arange(stops), colors[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    return _blend(rng, _noise(rng, rng.uniform(1.2, 2.0)), 4)


def _stone(rng: np.random.Generator) -> np.ndarray:
    base = _blend(rng, _noise(rng, 1.3))
    return base + 0.06 * _noise(rng, 0.3)[..., None]


def _plaster(rng: np.random.Generator) -> np.ndarray:
    """Nearly plain: the low-texture surface."""
    bumps = _noise(rng, 1.0)
    light = 0.012 * bumps + 0.01 * (bumps - np.roll(bumps, 1, axis=(0, 1)))
    return _color(rng, 0.3, 0.9) + light[..., None]


def _plain(rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(_color(rng), (SIZE, SIZE, 3)) + 0.004 * _noise(rng, 0)[..., None]


def _wood(rng: np.random.Generator) -> np.ndarray:
    _, y = _grid()
    rings = y * rng.integers(6, 18) + 0.22 * _noise(rng, 2.2)
    fibre = _noise(rng, 1.0)
    fibre = np.mean([np.roll(fibre, shift, axis=1) for shift in range(0, 48, 3)], axis=0)
    brown = np.array([0.55, 0.36, 0.2]) * rng.uniform(0.5, 1.5) + rng.normal(0, 0.03, 3)
    share = 0.5 + 0.5 * np.sin(2 * np.pi * rings)
    return _mix(brown, brown * rng.uniform(0.65, 0.85), share**2) + 0.08 * fibre[..., None]


def _planks(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice([4, 8]))
    image = _wood(rng)
    row = np.repeat(np.arange(count), SIZE // count)
    shift = rng.integers(0, SIZE, count)
    rolled = np.stack([np.roll(image[i], shift[row[i]], axis=0) for i in range(SIZE)])
    tint = rng.uniform(0.75, 1.2, count)[row][:, None, None]
    joint = (np.arange(SIZE) % (SIZE // count) < 2)[:, None, None]
    return np.where(joint, 0.12, rolled * tint)


def _bricks(rng: np.random.Generator) -> np.ndarray:
    rows, columns = int(rng.choice([8, 16])), int(rng.choice([4, 8]))
    x, y = _grid()
    row = np.floor(y * rows).astype(int)
    along = x * columns + 0.5 * (row % 2)
    column = np.floor(along).astype(int) % columns
    tint = rng.normal(1, 0.12, (rows, columns))[row, column]
    inside = np.minimum(along % 1, 1 - along % 1) / columns
    across = np.minimum(y * rows % 1, 1 - y * rows % 1) / rows
    mortar = np.minimum(inside, across) < 0.006 + 0.001 * _noise(rng, 1.2)
    clay = np.array([0.55, 0.33, 0.25]) if rng.random() < 0.5 else _color(rng, 0.2, 0.7)
    brick = clay * tint[..., None] + 0.05 * _noise(rng, 0.8)[..., None]
    return np.where(mortar[..., None], _color(rng, 0.5, 0.8) + 0.03 * _noise(rng, 0.5)[..., None],
                    brick)  # fmt: skip


def _tiles(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice([2, 4, 8]))
    x, y = _grid()
    row, column = (np.floor(a * count).astype(int) for a in (y, x))
    checked = rng.random() < 0.5
    a, b = _color(rng, 0.5, 0.95), _color(rng, 0.1, 0.6)
    share = ((row + column) % 2).astype(float) if checked else 0.1 * _noise(rng, 1.5)
    edge = np.minimum(np.minimum(x * count % 1, 1 - x * count % 1),
                      np.minimum(y * count % 1, 1 - y * count % 1)) / count  # fmt: skip
    tiles = _mix(a, b, share) + 0.02 * _noise(rng, 1.2)[..., None]
    return np.where((edge < 0.005)[..., None], 0.4, tiles)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    x, y = _grid()
    phase = x * rng.integers(2, 16) + y * rng.integers(-8, 9)
    share = (np.sin(2 * np.pi * phase) > rng.uniform(-0.6, 0.6)).astype(float)
    return _mix(_color(rng), _color(rng), share) + 0.02 * _noise(rng, 0.6)[..., None]


def _tartan(rng: np.random.Generator) -> np.ndarray:
    x, y = _grid()
    colors = np.stack([_color(rng) for _ in range(12)])
    half = 0.5 * colors[(x * 12).astype(int)] + 0.5 * colors[(y * 12).astype(int)]
    weave = ((np.add.outer(np.arange(SIZE), np.arange(SIZE)) // 2) % 2)[..., None]
    return half * (0.93 + 0.1 * weave)


def _cloth(rng: np.random.Generator) -> np.ndarray:
    x, y = _grid()
    threads = int(rng.choice([32, 64]))
    weave = np.sin(2 * np.pi * x * threads) * np.sin(2 * np.pi * y * threads)
    base = _mix(_color(rng), _color(rng), 0.5 + 0.3 * _noise(rng, 1.6))
    return base * (0.9 + 0.1 * weave + 0.04 * _noise(rng, 0.2))[..., None]


def _points(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances [SIZE, SIZE] to the nearest of `count` random points (tileable), and its index."""
    x, y = _grid()
    nearest, index = np.full((SIZE, SIZE), np.inf), np.zeros((SIZE, SIZE), int)
    for number, (px, py) in enumerate(rng.random((count, 2))):
        dx, dy = np.abs(x - px), np.abs(y - py)
        distance = np.hypot(np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy))
        closer = distance < nearest
        nearest[closer], index[closer] = distance[closer], number
    return nearest, index


def _pebbles(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice([60, 200]))
    nearest, index = _points(rng, count)
    tints = np.stack([_color(rng, 0.25, 0.8) for _ in range(count)])
    shade = 1 - (nearest * np.sqrt(count) * 1.1) ** 2
    return tints[index] * shade.clip(0.15, 1)[..., None] + 0.04 * _noise(rng, 0.5)[..., None]


def _mosaic(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice([25, 80]))
    _, index = _points(rng, count)
    return np.stack([_color(rng) for _ in range(count)])[index] + 0.01 * _noise(rng, 1)[..., None]


def _dots(rng: np.random.Generator) -> np.ndarray:
    """A regular print: repeats exactly, so that only context tells the places apart."""
    count = int(rng.choice([4, 8, 16]))
    x, y = _grid()
    row = np.floor(y * count)
    u, v = (x * count + 0.5 * (row % 2)) % 1 - 0.5, (y * count) % 1 - 0.5
    share = (np.hypot(u, v) < rng.uniform(0.15, 0.4)).astype(float)
    return _mix(_color(rng), _color(rng), share)


def _paint(rng: np.random.Generator) -> np.ndarray:
    """Overlapping coloured discs and bars, as a poster or a mural."""
    x, y = _grid()
    image = np.broadcast_to(_color(rng), (SIZE, SIZE, 3)).copy()
    for _ in range(60):
        dx = (x - rng.random() + 0.5) % 1 - 0.5
        dy = (y - rng.random() + 0.5) % 1 - 0.5
        angle, long, wide = rng.uniform(0, np.pi), rng.uniform(0.02, 0.2), rng.uniform(0.01, 0.08)
        u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        bar = (np.abs(u) < long) & (np.abs(v) < wide)
        disc = np.hypot(dx, dy) < wide
        image[bar if rng.random() < 0.5 else disc] = _color(rng)
    return image + 0.015 * _noise(rng, 0.8)[..., None]


def _rust(rng: np.random.Generator) -> np.ndarray:
    metal = _color(rng, 0.3, 0.7) + 0.05 * _noise(rng, 0.4)[..., None]
    patches = 1 / (1 + np.exp(-4 * (_noise(rng, 1.5) - rng.uniform(0, 1))))
    brown = np.array([0.45, 0.24, 0.1]) + 0.08 * _noise(rng, 0.9)[..., None]
    return metal + (brown - metal) * patches[..., None]


def _grass(rng: np.random.Generator) -> np.ndarray:
    blades = _noise(rng, 0.7)
    blades = np.mean([np.roll(blades, (k, k // 3), (0, 1)) for k in range(12)], axis=0)
    green = np.array([0.25, 0.38, 0.12]) + rng.normal(0, 0.04, 3)
    return green * (1 + 0.5 * blades + 0.1 * _noise(rng, 1.4))[..., None]


_MAKERS: dict[str, tuple[Maker, int]] = {
    "clouds": (_clouds, 3),
    "stone": (_stone, 4),
    "plaster": (_plaster, 4),
    "plain": (_plain, 2),
    "wood": (_wood, 3),
    "planks": (_planks, 3),
    "bricks": (_bricks, 4),
    "tiles": (_tiles, 4),
    "stripes": (_stripes, 2),
    "tartan": (_tartan, 2),
    "cloth": (_cloth, 3),
    "pebbles": (_pebbles, 3),
    "mosaic": (_mosaic, 2),
    "dots": (_dots, 2),
    "paint": (_paint, 4),
    "rust": (_rust, 2),
    "grass": (_grass, 2),
}
