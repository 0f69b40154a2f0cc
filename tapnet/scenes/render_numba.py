"""The renderer on the CPU: a z-buffer of triangles inside a box, lit by a sun and a sky.

Every function works on one moment of one clip. `render_reference` says the same in plain numpy,
`render_triton` in the language of GPUs; a change here is a change there.
"""

from __future__ import annotations

import math

import numpy as np

from tapnet.scenes.camera import NEAR
from tapnet.scenes.compiled import kernel

F = np.float32
ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)
NEARBY = F(NEAR)
SHADOW_BIAS = F(0.03)
TINY = F(1e-12)


@kernel
def pose(skeleton, bones, time, start, vertices, normals):  # type: ignore[no-untyped-def]
    """Write the world positions and unit normals of the vertices from `start` on.

    A vertex is first bent by its body's waves, its normal by the waves' cofactors, then moved by
    its two bones (`bones` [n, 12], rows of 3 x 4).
    """
    rest, rest_normals, bone, weight, owner, wave_start, waves = skeleton
    for i in range(start, len(rest)):
        x, y, z = rest[i, 0], rest[i, 1], rest[i, 2]
        nx, ny, nz = rest_normals[i, 0], rest_normals[i, 1], rest_normals[i, 2]
        body = owner[i]
        if wave_start[body] < wave_start[body + 1]:
            dx, dy, dz = ZERO, ZERO, ZERO
            xx, xy, xz, yx, yy, yz, zx, zy, zz = ONE, ZERO, ZERO, ZERO, ONE, ZERO, ZERO, ZERO, ONE
            for k in range(wave_start[body], wave_start[body + 1]):
                a, b, c = waves[k, 0], waves[k, 1], waves[k, 2]
                u, v, w = waves[k, 3], waves[k, 4], waves[k, 5]
                angle = F(u * x + v * y + w * z + waves[k, 6] * time + waves[k, 7])
                s, t = math.sin(angle), math.cos(angle)
                dx, dy, dz = dx + a * s, dy + b * s, dz + c * s
                u, v, w = u * t, v * t, w * t
                xx, xy, xz = xx + a * u, xy + a * v, xz + a * w
                yx, yy, yz = yx + b * u, yy + b * v, yz + b * w
                zx, zy, zz = zx + c * u, zy + c * v, zz + c * w
            x, y, z = x + dx, y + dy, z + dz
            nx, ny, nz = (
                (yy * zz - yz * zy) * nx + (yz * zx - yx * zz) * ny + (yx * zy - yy * zx) * nz,
                (xz * zy - xy * zz) * nx + (xx * zz - xz * zx) * ny + (xy * zx - xx * zy) * nz,
                (xy * yz - xz * yy) * nx + (xz * yx - xx * yz) * ny + (xx * yy - xy * yx) * nz,
            )
        m, n, p = bones[bone[i, 0]], bones[bone[i, 1]], weight[i]
        q = ONE - p
        length = ZERO
        for r in range(3):
            a = p * m[4 * r] + q * n[4 * r]
            b = p * m[4 * r + 1] + q * n[4 * r + 1]
            c = p * m[4 * r + 2] + q * n[4 * r + 2]
            vertices[i, r] = a * x + b * y + c * z + p * m[4 * r + 3] + q * n[4 * r + 3]
            normals[i, r] = a * nx + b * ny + c * nz
            length += normals[i, r] * normals[i, r]
        length = ONE / math.sqrt(length + TINY)
        for r in range(3):
            normals[i, r] *= length


@kernel
def view(vertices, camera, out):  # type: ignore[no-untyped-def]
    """Write (x px, y px, 1 / depth) of the vertices; -1 for what is nearer than `NEAR`."""
    f, cx, cy = camera[0], camera[1], camera[2]
    for i in range(len(vertices)):
        x, y, z = (
            vertices[i, 0] - camera[12],
            vertices[i, 1] - camera[13],
            vertices[i, 2] - camera[14],
        )
        depth = camera[9] * x + camera[10] * y + camera[11] * z
        if depth < NEARBY:
            out[i, 2] = -ONE
        else:
            w = ONE / depth
            out[i, 0] = (camera[3] * x + camera[4] * y + camera[5] * z) * w * f + cx
            out[i, 1] = (camera[6] * x + camera[7] * y + camera[8] * z) * w * f + cy
            out[i, 2] = w


@kernel
def background(room, camera, depth, ids):  # type: ignore[no-untyped-def]
    """Start the buffers with the room's planes: inverse depth [H, W], ids -1 .. -6."""
    height, width = depth.shape
    rf = ONE / camera[0]
    for iy in range(height):
        dy = (F(iy) + HALF - camera[2]) * rf
        for ix in range(width):
            dx = (F(ix) + HALF - camera[1]) * rf
            best, plane = TINY, 0
            for k in range(3):
                d = camera[3 + k] * dx + camera[6 + k] * dy + camera[9 + k]
                side = 1 if d > 0 else 0
                w = d / (room[side, k] - camera[12 + k])
                if w > best:
                    best, plane = w, 2 * k + side
            depth[iy, ix] = best
            ids[iy, ix] = -1 - plane


@kernel
def fill(x0, y0, w0, x1, y1, w1, x2, y2, w2, face, depth, ids):  # type: ignore[no-untyped-def]
    """Draw one triangle of (x px, y px, inverse depth) where it is nearer than what is there.

    A pixel belongs to it when its centre lies inside or on an edge; at equal depth the earlier
    face stays.
    """
    height, width = depth.shape
    left, right = min(x0, min(x1, x2)), max(x0, max(x1, x2))
    top, bottom = min(y0, min(y1, y2)), max(y0, max(y1, y2))
    if right < HALF or bottom < HALF or left > F(width) - HALF or top > F(height) - HALF:
        return
    ix0 = max(0, math.ceil(left - HALF))
    ix1 = min(width - 1, math.floor(right - HALF))
    iy0 = max(0, math.ceil(top - HALF))
    iy1 = min(height - 1, math.floor(bottom - HALF))
    if ix0 > ix1 or iy0 > iy1:
        return
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if abs(area) < F(1e-9):
        return
    inverse = ONE / area
    b1x, b1y = (y2 - y0) * inverse, (x0 - x2) * inverse
    b2x, b2y = (y0 - y1) * inverse, (x1 - x0) * inverse
    d1, d2 = w1 - w0, w2 - w0
    for iy in range(iy0, iy1 + 1):
        py = F(iy) + HALF - y0
        for ix in range(ix0, ix1 + 1):
            px = F(ix) + HALF - x0
            b1 = px * b1x + py * b1y
            b2 = px * b2x + py * b2y
            if b1 >= ZERO and b2 >= ZERO and b1 + b2 <= ONE:
                w = w0 + b1 * d1 + b2 * d2
                if w > depth[iy, ix]:
                    depth[iy, ix] = w
                    ids[iy, ix] = face


@kernel
def raster(vertices, seen, faces, camera, start, stop, depth, ids):  # type: ignore[no-untyped-def]
    """Draw the faces start .. stop; those that cross the plane at `NEAR` are cut there."""
    for face in range(start, stop):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        w0, w1, w2 = seen[a, 2], seen[b, 2], seen[c, 2]
        if w0 > ZERO and w1 > ZERO and w2 > ZERO:
            x0, y0, x1, y1 = seen[a, 0], seen[a, 1], seen[b, 0], seen[b, 1]
            fill(x0, y0, w0, x1, y1, w1, seen[c, 0], seen[c, 1], w2, face, depth, ids)
        elif w0 > ZERO or w1 > ZERO or w2 > ZERO:
            corners, count = cut(vertices[a], vertices[b], vertices[c], camera)
            for k in range(2, count):
                p, q, r = corners[0], corners[k - 1], corners[k]
                fill(p[0], p[1], p[2], q[0], q[1], q[2], r[0], r[1], r[2], face, depth, ids)


@kernel
def cut(a, b, c, camera):  # type: ignore[no-untyped-def]
    """(corners [4, 3] of (x px, y px, 1 / depth), their number) of the part beyond `NEAR`."""
    local = np.empty((3, 3), np.float32)
    for k in range(3):
        p = a if k == 0 else (b if k == 1 else c)
        x, y, z = p[0] - camera[12], p[1] - camera[13], p[2] - camera[14]
        for r in range(3):
            local[k, r] = camera[3 + 3 * r] * x + camera[4 + 3 * r] * y + camera[5 + 3 * r] * z
    corners = np.empty((4, 3), np.float32)
    count = 0
    for k in range(3):
        p, q = local[k], local[(k + 1) % 3]
        if p[2] >= NEARBY:
            corners[count] = p
            count += 1
        if (p[2] >= NEARBY) != (q[2] >= NEARBY):
            part = (NEARBY - p[2]) / (q[2] - p[2])
            corners[count, 0] = p[0] + part * (q[0] - p[0])
            corners[count, 1] = p[1] + part * (q[1] - p[1])
            corners[count, 2] = NEARBY
            count += 1
    for k in range(count):
        w = ONE / corners[k, 2]
        corners[k, 0] = corners[k, 0] * w * camera[0] + camera[1]
        corners[k, 1] = corners[k, 1] * w * camera[0] + camera[2]
        corners[k, 2] = w
    return corners, count
