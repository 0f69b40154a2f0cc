"""Light on the GPU: the mathematics of `shade_numba`, in Triton."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

from tapnet.scenes.kernels_triton import _meet, _ray


@triton.jit
def shade(
    keys, vertices, normals, cameras, faces, uv, tint, texture, density, body, shine,
    plane, plane_texture, texels, offset, side, light, shadow, out,
    count, height, width, moments, samples, shadow_side, bias, shadow_lift, grazing,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The mean linear colour of a frame's samples, for each pixel.

    Of a frame's `moments`, the first `samples` are shaded. `light` [28] holds the sun 6, the sky 6,
    the fog 4 and the matrix to the shadow map 12.
    """
    t = tl.program_id(1)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    pixels = height * width
    m = i < pixels
    red, green, blue = i.to(tl.float32) * 0, i.to(tl.float32) * 0, i.to(tl.float32) * 0
    for sample in range(samples):
        s = t * moments + sample
        camera = cameras + 15 * s
        vx, vy, vz = _ray(camera, i, width)
        key = tl.load(keys + s.to(tl.int64) * pixels + i, mask=m, other=0x3F8000007FFFFFFF)
        z = 1.0 / (key >> 32).to(tl.int32).to(tl.float32, bitcast=True)
        number = 0x7FFFFFFF - (key & 0x7FFFFFFF).to(tl.int32)
        x = tl.load(camera + 12) + vx * z
        y = tl.load(camera + 13) + vy * z
        level = tl.load(camera + 14) + vz * z
        wall = number < 6
        nx, ny, nz, u, v, tex, dens, tr, tg, tb, glossy = _looks(
            number, wall, vx, vy, vz, x, y, level, camera, s, count, vertices, normals, faces, uv,
            tint, texture, density, body, shine, plane, plane_texture, m,
        )  # fmt: skip
        nearer = 1.0 / tl.sqrt(vx * vx + vy * vy + vz * vz)
        slant = tl.maximum(-(nx * vx + ny * vy + nz * vz) * nearer, grazing)
        grain = dens * z / tl.load(camera)
        r, g, b = _texel(
            texels, tl.load(offset + tex), tl.load(side + tex), u, v, grain * grain / slant
        )
        up = 0.5 + 0.5 * nz
        sx, sy, sz = tl.load(light), tl.load(light + 1), tl.load(light + 2)
        facing = tl.maximum(nx * sx + ny * sy + nz * sz, 0.0)
        lift = shadow_lift * (1.0 - facing)
        facing *= _lit(
            shadow + t.to(tl.int64) * shadow_side * shadow_side, light + 16,
            x + nx * lift, y + ny * lift, level + nz * lift, shadow_side, bias,
        )  # fmt: skip
        hx, hy, hz = sx - vx * nearer, sy - vy * nearer, sz - vz * nearer
        d = tl.maximum(nx * hx + ny * hy + nz * hz, 0.0)
        d = d * d / (hx * hx + hy * hy + hz * hz + 1e-12)
        d *= d
        d *= d
        d *= d
        glint = glossy * d * d * facing
        thick = tl.load(light + 12) * z / nearer
        keep = 1.0 / (1.0 + thick * thick)
        red += _colour(r * tr, light, 0, up, facing, glint, keep)
        green += _colour(g * tg, light, 1, up, facing, glint, keep)
        blue += _colour(b * tb, light, 2, up, facing, glint, keep)
    at = out + (t.to(tl.int64) * pixels + i) * 3
    tl.store(at, red / samples, mask=m)
    tl.store(at + 1, green / samples, mask=m)
    tl.store(at + 2, blue / samples, mask=m)


@triton.jit
def _colour(albedo, light, c: tl.constexpr, up, facing, glint, keep):
    sun, sky, ground = tl.load(light + 3 + c), tl.load(light + 6 + c), tl.load(light + 9 + c)
    value = albedo * (ground + (sky - ground) * up + sun * facing) + sun * glint
    fog = tl.load(light + 13 + c)
    return fog + (value - fog) * keep


@triton.jit
def _looks(
    number, wall, vx, vy, vz, x, y, level, camera, s, count, vertices, normals, faces, uv,
    tint, texture, density, body, shine, plane, plane_texture, m,
):  # fmt: skip
    """(normal 3, uv 2, texture, density, tint 3, shine) of what the pixels show."""
    k = tl.minimum(number, 5)
    sign = tl.where(k % 2 == 0, 1.0, -1.0)
    p = plane + 8 * k
    wu = (tl.where(k < 2, y, x) - tl.load(p)) * tl.load(p + 1)
    wv = (tl.where(k < 4, level, y) - tl.load(p + 2)) * tl.load(p + 3)
    on = m & ~wall
    f = tl.where(on, number - 6, 0)
    a = tl.load(faces + 3 * f, mask=on, other=0)
    b = tl.load(faces + 3 * f + 1, mask=on, other=0)
    c = tl.load(faces + 3 * f + 2, mask=on, other=0)
    base = s.to(tl.int64) * count * 3
    b1, b2, _w = _meet(vertices + base, camera, a, b, c, vx, vy, vz, on)
    b1 = tl.minimum(tl.maximum(b1, 0.0), 1.0)
    b2 = tl.minimum(tl.maximum(b2, 0.0), 1.0)
    b0 = 1.0 - b1 - b2
    h = normals + base
    nx = _mix(h, 3 * a, 3 * b, 3 * c, b0, b1, b2, on)
    ny = _mix(h, 3 * a + 1, 3 * b + 1, 3 * c + 1, b0, b1, b2, on)
    nz = _mix(h, 3 * a + 2, 3 * b + 2, 3 * c + 2, b0, b1, b2, on)
    length = 1.0 / tl.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    length = tl.where(nx * vx + ny * vy + nz * vz > 0, -length, length)
    nx = tl.where(wall, tl.where(k < 2, sign, 0.0), nx * length)
    ny = tl.where(wall, tl.where((k >= 2) & (k < 4), sign, 0.0), ny * length)
    nz = tl.where(wall, tl.where(k >= 4, sign, 0.0), nz * length)
    u = tl.where(wall, wu, _mix(uv, 6 * f, 6 * f + 2, 6 * f + 4, b0, b1, b2, on))
    v = tl.where(wall, wv, _mix(uv, 6 * f + 1, 6 * f + 3, 6 * f + 5, b0, b1, b2, on))
    tex = tl.where(wall, tl.load(plane_texture + k), tl.load(texture + f, mask=on, other=0))
    dens = tl.where(wall, tl.load(p + 7), tl.load(density + f, mask=on, other=0.0))
    tr = tl.where(wall, tl.load(p + 4), tl.load(tint + 3 * f, mask=on, other=0.0))
    tg = tl.where(wall, tl.load(p + 5), tl.load(tint + 3 * f + 1, mask=on, other=0.0))
    tb = tl.where(wall, tl.load(p + 6), tl.load(tint + 3 * f + 2, mask=on, other=0.0))
    owner = tl.load(body + f, mask=on, other=0)
    glossy = tl.load(shine + owner, mask=on, other=0.0)
    return nx, ny, nz, u, v, tex, dens, tr, tg, tb, glossy


@triton.jit
def _mix(p, a, b, c, b0, b1, b2, m):
    value = b0 * tl.load(p + a, mask=m, other=0.0)
    value += b1 * tl.load(p + b, mask=m, other=0.0)
    return value + b2 * tl.load(p + c, mask=m, other=0.0)


@triton.jit
def _texel(texels, start, size, u, v, spread):
    """Linear (red, green, blue) of a repeating texture, `spread` texels of it on a pixel."""
    for _ in tl.static_range(12):
        coarser = (spread >= 2.0) & (size > 1)
        start = tl.where(coarser, start + size * size, start)
        size = tl.where(coarser, size >> 1, size)
        spread = tl.where(coarser, spread * 0.25, spread)
    x = (u - u.to(tl.int32).to(tl.float32) + 2.0) * size.to(tl.float32) - 0.5
    y = (v - v.to(tl.int32).to(tl.float32) + 2.0) * size.to(tl.float32) - 0.5
    i0, j0 = x.to(tl.int32), y.to(tl.int32)
    a, b = x - i0.to(tl.float32), y - j0.to(tl.float32)
    mask = size - 1
    i1, j1 = (i0 + 1) & mask, start + ((j0 + 1) & mask) * size
    i0, j0 = i0 & mask, start + (j0 & mask) * size
    p, q = tl.load(texels + j0 + i0), tl.load(texels + j0 + i1)
    r, s = tl.load(texels + j1 + i0), tl.load(texels + j1 + i1)
    ws = a * b
    wq, wr = a - ws, b - ws
    wp = 1.0 - a - wr
    red = _channel(p, q, r, s, wp, wq, wr, ws, 0)
    green = _channel(p, q, r, s, wp, wq, wr, ws, 8)
    blue = _channel(p, q, r, s, wp, wq, wr, ws, 16)
    return red, green, blue


@triton.jit
def _channel(p, q, r, s, wp, wq, wr, ws, shift: tl.constexpr):
    value = ((p >> shift) & 255).to(tl.float32) * wp + ((q >> shift) & 255).to(tl.float32) * wq
    value += ((r >> shift) & 255).to(tl.float32) * wr + ((s >> shift) & 255).to(tl.float32) * ws
    return value * value * (1.0 / 65025.0)


@triton.jit
def _lit(shadow, matrix, x, y, z, side, bias):
    """The share 0..1 of the sun that reaches points; `shadow` holds z-buffer keys."""
    s = tl.load(matrix) * x + tl.load(matrix + 1) * y + tl.load(matrix + 2) * z
    t = tl.load(matrix + 4) * x + tl.load(matrix + 5) * y + tl.load(matrix + 6) * z
    above = tl.load(matrix + 8) * x + tl.load(matrix + 9) * y + tl.load(matrix + 10) * z
    s, t = s + tl.load(matrix + 3) - 0.5, t + tl.load(matrix + 7) - 0.5
    above = above + tl.load(matrix + 11) + bias
    inside = (s >= 0) & (t >= 0) & (s < side - 1) & (t < side - 1)
    i, j = tl.where(inside, s, 0.0).to(tl.int32), tl.where(inside, t, 0.0).to(tl.int32)
    a, b = s - i.to(tl.float32), t - j.to(tl.float32)
    at = shadow + j * side + i
    upper = _shaded(at, above, inside) * (1.0 - a) + _shaded(at + 1, above, inside) * a
    lower = _shaded(at + side, above, inside) * (1.0 - a)
    lower += _shaded(at + side + 1, above, inside) * a
    return tl.where(inside, 1.0 - upper * (1.0 - b) - lower * b, 1.0)


@triton.jit
def _shaded(at, above, inside):
    key = tl.load(at, mask=inside, other=0)
    height = (key >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    return (height > above).to(tl.float32)
