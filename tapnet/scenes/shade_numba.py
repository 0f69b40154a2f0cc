"""Light on the CPU: what colour each pixel of the z-buffer has. See `render_numba`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tapnet.scenes.compiled import kernel
from tapnet.scenes.render_numba import HALF, ONE, TINY, ZERO, F

SHADOW_BIAS = F(0.025)
QUARTER, THIRD_TURN = F(0.25), F(1 / 3)
BYTE = F(1 / 255)
DULL = F(1 / 65025)


class Lighting(NamedTuple):
    """Light of one moment, linear; the shadow map holds heights towards the sun."""

    sun: np.ndarray  # [6] float32: direction to the sun, its colour
    sky: np.ndarray  # [6] float32: what comes from above, from below
    fog: np.ndarray  # [4] float32: per unit of distance, colour
    shadow: np.ndarray  # [side, side] float32 height + far of the nearest surface, 0 = nothing
    to_shadow: np.ndarray  # [3, 4] float32: world to texel x, texel y, height + far


@kernel
def light_view(vertices, to_shadow, start, out):  # type: ignore[no-untyped-def]
    """Write the vertices from `start` on as (x texel, y texel, height + far) of the shadow map."""
    for i in range(start, len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        for r in range(3):
            m = to_shadow[r]
            out[i, r] = m[0] * x + m[1] * y + m[2] * z + m[3]


@kernel
def texel(texels, offset, side, u, v, blur):  # type: ignore[no-untyped-def]
    """Linear (red, green, blue) of a repeating texture at (u, v), at its texel size 2 ** blur."""
    level = min(max(int(blur + HALF), 0), 31)
    start, size = offset, side
    while level > 0 and size > 1:
        start += size * size
        size >>= 1
        level -= 1
    x = (u - math.floor(u)) * F(size) - HALF
    y = (v - math.floor(v)) * F(size) - HALF
    x0, y0 = math.floor(x), math.floor(y)
    a, b = F(x - x0), F(y - y0)
    mask = size - 1
    i0, j0 = int(x0) & mask, int(y0) & mask
    i1, j1 = (i0 + 1) & mask, (j0 + 1) & mask
    p, q = texels[start + j0 * size + i0], texels[start + j0 * size + i1]
    r, s = texels[start + j1 * size + i0], texels[start + j1 * size + i1]
    wp, wq, wr, ws = (ONE - a) * (ONE - b), a * (ONE - b), (ONE - a) * b, a * b
    red = F(p & 255) * wp + F(q & 255) * wq + F(r & 255) * wr + F(s & 255) * ws
    green = (
        F(p >> 8 & 255) * wp + F(q >> 8 & 255) * wq + F(r >> 8 & 255) * wr + F(s >> 8 & 255) * ws
    )
    blue = (
        F(p >> 16 & 255) * wp
        + F(q >> 16 & 255) * wq
        + F(r >> 16 & 255) * wr
        + F(s >> 16 & 255) * ws
    )
    return red * red * DULL, green * green * DULL, blue * blue * DULL


@kernel
def lit(shadow, to_shadow, x, y, z):  # type: ignore[no-untyped-def]
    """The share 0..1 of the sun that reaches a point: 3 x 3 tests, bilinear, so edges are soft."""
    side = shadow.shape[0]
    s = to_shadow[0, 0] * x + to_shadow[0, 1] * y + to_shadow[0, 2] * z + to_shadow[0, 3] - HALF
    t = to_shadow[1, 0] * x + to_shadow[1, 1] * y + to_shadow[1, 2] * z + to_shadow[1, 3] - HALF
    height = to_shadow[2, 0] * x + to_shadow[2, 1] * y + to_shadow[2, 2] * z + to_shadow[2, 3]
    if s < ONE or t < ONE or s > F(side - 3) or t > F(side - 3):
        return ONE
    i, j = int(s), int(t)
    a, b = s - F(i), t - F(j)
    above = height + SHADOW_BIAS
    dark = ZERO
    for dj in range(-1, 3):
        wb = ONE - b if dj == -1 else (b if dj == 2 else ONE)
        row = ZERO
        for di in range(-1, 3):
            if shadow[j + dj, i + di] > above:
                row += ONE - a if di == -1 else (a if di == 2 else ONE)
        dark += wb * row
    return ONE - dark * F(1 / 9)


@kernel
def corner_weights(a, b, c, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """The weights of b and c where the ray from o along d meets the plane of the triangle a b c."""
    ex, ey, ez = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    fx, fy, fz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    px, py, pz = dy * fz - dz * fy, dz * fx - dx * fz, dx * fy - dy * fx
    inverse = ONE / (ex * px + ey * py + ez * pz)
    tx, ty, tz = ox - a[0], oy - a[1], oz - a[2]
    b1 = (tx * px + ty * py + tz * pz) * inverse
    qx, qy, qz = ty * ez - tz * ey, tz * ex - tx * ez, tx * ey - ty * ex
    b2 = (dx * qx + dy * qy + dz * qz) * inverse
    return b1, b2


@kernel
def shade(surface, lighting, camera, vertices, normals, depth, ids, out):  # type: ignore[no-untyped-def]
    """Add the linear colour of every pixel to `out` [H, W, 3]."""
    height, width = depth.shape
    sun, sky, fog, shadow, to_shadow = lighting
    cx, cy, cz = camera[12], camera[13], camera[14]
    rf = ONE / camera[0]
    for iy in range(height):
        down = (F(iy) + HALF - camera[2]) * rf
        for ix in range(width):
            across = (F(ix) + HALF - camera[1]) * rf
            vx = camera[3] * across + camera[6] * down + camera[9]
            vy = camera[4] * across + camera[7] * down + camera[10]
            vz = camera[5] * across + camera[8] * down + camera[11]
            z = ONE / depth[iy, ix]
            away = math.sqrt(vx * vx + vy * vy + vz * vz)
            x, y, height_here = cx + vx * z, cy + vy * z, cz + vz * z
            face = ids[iy, ix]
            shine = ZERO
            if face < 0:
                k = -1 - face
                row = surface.plane[k]
                axis = k >> 1
                sign = ONE if k & 1 == 0 else -ONE
                nx = sign if axis == 0 else ZERO
                ny = sign if axis == 1 else ZERO
                nz = sign if axis == 2 else ZERO
                u = ((y if axis == 0 else x) - row[0]) * row[1]
                v = ((y if axis == 2 else height_here) - row[2]) * row[3]
                texture = surface.plane_texture[k]
                density = row[7]
                tr, tg, tb = row[4], row[5], row[6]
            else:
                i0, i1, i2 = surface.faces[face]
                b1, b2 = corner_weights(
                    vertices[i0], vertices[i1], vertices[i2], cx, cy, cz, vx, vy, vz
                )
                b1, b2 = min(max(b1, ZERO), ONE), min(max(b2, ZERO), ONE)
                b0 = ONE - b1 - b2
                n0, n1, n2 = normals[i0], normals[i1], normals[i2]
                nx = b0 * n0[0] + b1 * n1[0] + b2 * n2[0]
                ny = b0 * n0[1] + b1 * n1[1] + b2 * n2[1]
                nz = b0 * n0[2] + b1 * n1[2] + b2 * n2[2]
                length = ONE / math.sqrt(nx * nx + ny * ny + nz * nz + TINY)
                if nx * vx + ny * vy + nz * vz > ZERO:
                    length = -length
                nx, ny, nz = nx * length, ny * length, nz * length
                uv = surface.uv[face]
                u = b0 * uv[0, 0] + b1 * uv[1, 0] + b2 * uv[2, 0]
                v = b0 * uv[0, 1] + b1 * uv[1, 1] + b2 * uv[2, 1]
                texture = surface.texture[face]
                density = surface.density[face]
                tint = surface.tint[face]
                tr, tg, tb = tint[0], tint[1], tint[2]
                shine = surface.shine[surface.body[face]]
            slant = -(nx * vx + ny * vy + nz * vz) / away
            grain = density * z * rf / math.sqrt(max(slant, F(0.05)))
            blur = F(math.log2(grain)) if grain > ONE else ZERO
            r, g, b = texel(
                surface.texels, surface.offset[texture], surface.side[texture], u, v, blur
            )
            up = HALF + HALF * nz
            facing = nx * sun[0] + ny * sun[1] + nz * sun[2]
            glint = ZERO
            if facing > ZERO:
                facing *= lit(shadow, to_shadow, x, y, height_here)
                if shine > ZERO and facing > ZERO:
                    inverse = ONE / away
                    hx, hy, hz = sun[0] - vx * inverse, sun[1] - vy * inverse, sun[2] - vz * inverse
                    d = (nx * hx + ny * hy + nz * hz) / math.sqrt(
                        hx * hx + hy * hy + hz * hz + TINY
                    )
                    d *= d
                    d *= d
                    d *= d
                    d *= d
                    glint = shine * d * d * facing
            else:
                facing = ZERO
            r = r * tr * (sky[3] + (sky[0] - sky[3]) * up + sun[3] * facing) + sun[3] * glint
            g = g * tg * (sky[4] + (sky[1] - sky[4]) * up + sun[4] * facing) + sun[4] * glint
            b = b * tb * (sky[5] + (sky[2] - sky[5]) * up + sun[5] * facing) + sun[5] * glint
            if fog[0] > ZERO:
                thick = fog[0] * z * away
                keep = ONE / (ONE + thick * thick)
                r = fog[1] + (r - fog[1]) * keep
                g = fog[2] + (g - fog[2]) * keep
                b = fog[3] + (b - fog[3]) * keep
            out[iy, ix, 0] += r
            out[iy, ix, 1] += g
            out[iy, ix, 2] += b
