"""Light on the CPU: what colour each pixel of the z-buffer has. See `render_numba`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tapnet.scenes.compiled import kernel
from tapnet.scenes.render_numba import HALF, ONE, TINY, TWO, ZERO, F

SHADOW_BIAS = F(0.02)
SHADOW_LIFT = F(1.5)  # texels by which a slanted surface is lifted, lest it shadow itself
GRAZING = F(0.05)  # cosine at which a surface seen from the side blurs no further
QUARTER = F(0.25)
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
def texel(texels, start, size, u, v, spread):  # type: ignore[no-untyped-def]
    """Linear (red, green, blue) of a repeating texture at (u, v).

    `spread` is how many texels fall on the pixel; each coarser level of the pyramid has a quarter.
    """
    while spread >= TWO and size > 1:
        start += size * size
        size >>= 1
        spread *= QUARTER
    # two rounds more, so that nothing is negative and truncation is rounding down
    x = (u - F(np.int32(u)) + TWO) * F(size) - HALF
    y = (v - F(np.int32(v)) + TWO) * F(size) - HALF
    i0, j0 = np.int32(x), np.int32(y)
    a, b = x - F(i0), y - F(j0)
    mask = size - 1
    i1, j1 = (i0 + 1) & mask, start + ((j0 + 1) & mask) * size
    i0, j0 = i0 & mask, start + (j0 & mask) * size
    p, q, r, s = texels[j0 + i0], texels[j0 + i1], texels[j1 + i0], texels[j1 + i1]
    ws = a * b
    wq, wr = a - ws, b - ws
    wp = ONE - a - wr
    red = F(p & 255) * wp + F(q & 255) * wq + F(r & 255) * wr + F(s & 255) * ws
    p, q, r, s = p >> 8, q >> 8, r >> 8, s >> 8
    green = F(p & 255) * wp + F(q & 255) * wq + F(r & 255) * wr + F(s & 255) * ws
    blue = F(p >> 8) * wp + F(q >> 8) * wq + F(r >> 8) * wr + F(s >> 8) * ws
    return red * red * DULL, green * green * DULL, blue * blue * DULL


@kernel
def lit(shadow, to_shadow, x, y, z):  # type: ignore[no-untyped-def]
    """The share 0..1 of the sun that reaches a point: four tests, bilinear, so edges are soft."""
    side = shadow.shape[0]
    s = to_shadow[0, 0] * x + to_shadow[0, 1] * y + to_shadow[0, 2] * z + to_shadow[0, 3] - HALF
    t = to_shadow[1, 0] * x + to_shadow[1, 1] * y + to_shadow[1, 2] * z + to_shadow[1, 3] - HALF
    if s < ZERO or t < ZERO or s >= F(side - 1) or t >= F(side - 1):
        return ONE
    above = to_shadow[2, 0] * x + to_shadow[2, 1] * y + to_shadow[2, 2] * z + to_shadow[2, 3]
    above += SHADOW_BIAS
    i, j = np.int32(s), np.int32(t)
    a, b = s - F(i), t - F(j)
    upper = F(shadow[j, i] > above) * (ONE - a) + F(shadow[j, i + 1] > above) * a
    lower = F(shadow[j + 1, i] > above) * (ONE - a) + F(shadow[j + 1, i + 1] > above) * a
    return ONE - upper * (ONE - b) - lower * b


@kernel
def shade(surface, lighting, camera, vertices, normals, depth, ids, out):  # type: ignore[no-untyped-def]
    """Add the linear colour of every pixel to `out` [H, W, 3]."""
    faces, uv, tint, textures, densities, body, shines, _, plane, plane_texture = surface[:10]
    texels, offsets, sides = surface.texels, surface.offset, surface.side
    sun, sky, fog, shadow, to_shadow = lighting
    height, width = depth.shape
    cx, cy, cz = camera[12], camera[13], camera[14]
    rf = ONE / camera[0]
    lift = SHADOW_LIFT / math.sqrt(
        to_shadow[0, 0] ** 2 + to_shadow[0, 1] ** 2 + to_shadow[0, 2] ** 2
    )
    for iy in range(height):
        down = (F(iy) + HALF - camera[2]) * rf
        for ix in range(width):
            across = (F(ix) + HALF - camera[1]) * rf
            vx = camera[3] * across + camera[6] * down + camera[9]
            vy = camera[4] * across + camera[7] * down + camera[10]
            vz = camera[5] * across + camera[8] * down + camera[11]
            z = ONE / depth[iy, ix]
            nearer = ONE / math.sqrt(vx * vx + vy * vy + vz * vz)
            x, y, level = cx + vx * z, cy + vy * z, cz + vz * z
            face = ids[iy, ix]
            nx, ny, nz, shine = ZERO, ZERO, ZERO, ZERO
            if face < 0:
                k = -1 - face
                sign = ONE if k & 1 == 0 else -ONE
                if k < 2:
                    nx = sign
                elif k < 4:
                    ny = sign
                else:
                    nz = sign
                u = ((y if k < 2 else x) - plane[k, 0]) * plane[k, 1]
                v = ((level if k < 4 else y) - plane[k, 2]) * plane[k, 3]
                texture, density = plane_texture[k], plane[k, 7]
                tr, tg, tb = plane[k, 4], plane[k, 5], plane[k, 6]
            else:
                i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                ax, ay, az = vertices[i, 0], vertices[i, 1], vertices[i, 2]
                ex, ey, ez = vertices[j, 0] - ax, vertices[j, 1] - ay, vertices[j, 2] - az
                fx, fy, fz = vertices[k, 0] - ax, vertices[k, 1] - ay, vertices[k, 2] - az
                # the weights of the corners where the pixel's ray meets the face's plane
                px, py, pz = vy * fz - vz * fy, vz * fx - vx * fz, vx * fy - vy * fx
                inverse = ONE / (ex * px + ey * py + ez * pz)
                sx, sy, sz = cx - ax, cy - ay, cz - az
                b1 = (sx * px + sy * py + sz * pz) * inverse
                px, py, pz = sy * ez - sz * ey, sz * ex - sx * ez, sx * ey - sy * ex
                b2 = (vx * px + vy * py + vz * pz) * inverse
                b1, b2 = min(max(b1, ZERO), ONE), min(max(b2, ZERO), ONE)
                b0 = ONE - b1 - b2
                nx = b0 * normals[i, 0] + b1 * normals[j, 0] + b2 * normals[k, 0]
                ny = b0 * normals[i, 1] + b1 * normals[j, 1] + b2 * normals[k, 1]
                nz = b0 * normals[i, 2] + b1 * normals[j, 2] + b2 * normals[k, 2]
                length = ONE / math.sqrt(nx * nx + ny * ny + nz * nz + TINY)
                if nx * vx + ny * vy + nz * vz > ZERO:
                    length = -length
                nx, ny, nz = nx * length, ny * length, nz * length
                u = b0 * uv[face, 0, 0] + b1 * uv[face, 1, 0] + b2 * uv[face, 2, 0]
                v = b0 * uv[face, 0, 1] + b1 * uv[face, 1, 1] + b2 * uv[face, 2, 1]
                texture, density, shine = textures[face], densities[face], shines[body[face]]
                tr, tg, tb = tint[face, 0], tint[face, 1], tint[face, 2]
            slant = max(-(nx * vx + ny * vy + nz * vz) * nearer, GRAZING)
            grain = density * z * rf
            spread = grain * grain / slant
            r, g, b = texel(texels, offsets[texture], sides[texture], u, v, spread)
            up = HALF + HALF * nz
            facing = nx * sun[0] + ny * sun[1] + nz * sun[2]
            glint = ZERO
            if facing > ZERO:
                out_of = lift * (ONE - facing)
                facing *= lit(
                    shadow, to_shadow, x + nx * out_of, y + ny * out_of, level + nz * out_of
                )
                if shine > ZERO and facing > ZERO:
                    hx, hy, hz = sun[0] - vx * nearer, sun[1] - vy * nearer, sun[2] - vz * nearer
                    d = nx * hx + ny * hy + nz * hz
                    d = d * d / (hx * hx + hy * hy + hz * hz + TINY)
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
                thick = fog[0] * z / nearer
                keep = ONE / (ONE + thick * thick)
                r = fog[1] + (r - fog[1]) * keep
                g = fog[2] + (g - fog[2]) * keep
                b = fog[3] + (b - fog[3]) * keep
            out[iy, ix, 0] += r
            out[iy, ix, 1] += g
            out[iy, ix, 2] += b
