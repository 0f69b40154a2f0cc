"""The renderer's kernels for GPUs, in Triton: the mathematics of `render_numba` and `shade_numba`.

One launch works on S moments at once. The z-buffer is one int64 per pixel, the bits of the inverse
depth above a number that is larger for earlier faces, so that an atomic maximum keeps the nearest
face and, at equal depth, the earliest. Numbers 0 .. 5 mean the room's planes, 6 + f the face f.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import triton
import triton.language as tl

PLANES = 6
FIRST = 0x7FFFFFFF  # the low half of the key is FIRST - number


@triton.jit
def pose(
    vertices_in, normals_in, bone, weight, owner, wave_start, waves, bones, times, cameras,
    vertices, normals, seen, count, bone_count, most_waves, near, BLOCK: tl.constexpr,
):  # fmt: skip
    """World vertices and normals, and (x px, y px, 1 / depth) or w = -1 nearer than `near`."""
    s = tl.program_id(1)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < count
    x = tl.load(vertices_in + 3 * i, mask=m, other=0.0)
    y = tl.load(vertices_in + 3 * i + 1, mask=m, other=0.0)
    z = tl.load(vertices_in + 3 * i + 2, mask=m, other=0.0)
    nx = tl.load(normals_in + 3 * i, mask=m, other=0.0)
    ny = tl.load(normals_in + 3 * i + 1, mask=m, other=0.0)
    nz = tl.load(normals_in + 3 * i + 2, mask=m, other=1.0)
    time = tl.load(times + s)
    body = tl.load(owner + i, mask=m, other=0)
    first = tl.load(wave_start + body, mask=m, other=0)
    last = tl.load(wave_start + body + 1, mask=m, other=0)
    dx, dy, dz = x * 0, x * 0, x * 0
    xx, xy, xz = x * 0 + 1, x * 0, x * 0
    yx, yy, yz = x * 0, x * 0 + 1, x * 0
    zx, zy, zz = x * 0, x * 0, x * 0 + 1
    for k in range(most_waves):
        has = m & (first + k < last)
        p = waves + 8 * (first + k)
        a = tl.load(p, mask=has, other=0.0)
        b = tl.load(p + 1, mask=has, other=0.0)
        c = tl.load(p + 2, mask=has, other=0.0)
        u = tl.load(p + 3, mask=has, other=0.0)
        v = tl.load(p + 4, mask=has, other=0.0)
        w = tl.load(p + 5, mask=has, other=0.0)
        angle = u * x + v * y + w * z
        angle += tl.load(p + 6, mask=has, other=0.0) * time + tl.load(p + 7, mask=has, other=0.0)
        si, co = tl.sin(angle), tl.cos(angle)
        dx, dy, dz = dx + a * si, dy + b * si, dz + c * si
        u, v, w = u * co, v * co, w * co
        xx, xy, xz = xx + a * u, xy + a * v, xz + a * w
        yx, yy, yz = yx + b * u, yy + b * v, yz + b * w
        zx, zy, zz = zx + c * u, zy + c * v, zz + c * w
    x, y, z = x + dx, y + dy, z + dz
    # normals follow the cofactors of the waves' derivative
    mx = (yy * zz - yz * zy) * nx + (yz * zx - yx * zz) * ny + (yx * zy - yy * zx) * nz
    my = (xz * zy - xy * zz) * nx + (xx * zz - xz * zx) * ny + (xy * zx - xx * zy) * nz
    mz = (xy * yz - xz * yy) * nx + (xz * yx - xx * yz) * ny + (xx * yy - xy * yx) * nz
    p = bones + 12 * (s * bone_count + tl.load(bone + 2 * i, mask=m, other=0))
    q = bones + 12 * (s * bone_count + tl.load(bone + 2 * i + 1, mask=m, other=0))
    share = tl.load(weight + i, mask=m, other=1.0)
    px, nx = _row(p, q, 0, share, x, y, z, mx, my, mz, m)
    py, ny = _row(p, q, 4, share, x, y, z, mx, my, mz, m)
    pz, nz = _row(p, q, 8, share, x, y, z, mx, my, mz, m)
    length = 1.0 / tl.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    at = (s.to(tl.int64) * count + i) * 3
    tl.store(vertices + at, px, mask=m)
    tl.store(vertices + at + 1, py, mask=m)
    tl.store(vertices + at + 2, pz, mask=m)
    tl.store(normals + at, nx * length, mask=m)
    tl.store(normals + at + 1, ny * length, mask=m)
    tl.store(normals + at + 2, nz * length, mask=m)
    c = cameras + 15 * s
    x, y, z = px - tl.load(c + 12), py - tl.load(c + 13), pz - tl.load(c + 14)
    depth = tl.load(c + 9) * x + tl.load(c + 10) * y + tl.load(c + 11) * z
    front = depth >= near
    w = 1.0 / tl.where(front, depth, 1.0)
    across = tl.load(c + 3) * x + tl.load(c + 4) * y + tl.load(c + 5) * z
    down = tl.load(c + 6) * x + tl.load(c + 7) * y + tl.load(c + 8) * z
    focal = tl.load(c)
    tl.store(seen + at, across * w * focal + tl.load(c + 1), mask=m)
    tl.store(seen + at + 1, down * w * focal + tl.load(c + 2), mask=m)
    tl.store(seen + at + 2, tl.where(front, w, -1.0), mask=m)


@triton.jit
def _row(p, q, r: tl.constexpr, share, x, y, z, nx, ny, nz, m):
    """One coordinate of a point and of a normal moved by two bones."""
    rest = 1.0 - share
    a = share * tl.load(p + r, mask=m, other=0.0) + rest * tl.load(q + r, mask=m, other=0.0)
    b = share * tl.load(p + r + 1, mask=m, other=0.0) + rest * tl.load(q + r + 1, mask=m, other=0.0)
    c = share * tl.load(p + r + 2, mask=m, other=0.0) + rest * tl.load(q + r + 2, mask=m, other=0.0)
    d = share * tl.load(p + r + 3, mask=m, other=0.0) + rest * tl.load(q + r + 3, mask=m, other=0.0)
    return a * x + b * y + c * z + d, a * nx + b * ny + c * nz


@triton.jit
def light_view(vertices, to_shadow, seen, count, step, BLOCK: tl.constexpr):
    """(x texel, y texel, height) of every `step`-th moment's vertices, for the shadow map."""
    s = tl.program_id(1)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < count
    at = (s.to(tl.int64) * step * count + i) * 3
    x = tl.load(vertices + at, mask=m, other=0.0)
    y = tl.load(vertices + at + 1, mask=m, other=0.0)
    z = tl.load(vertices + at + 2, mask=m, other=0.0)
    at = (s.to(tl.int64) * count + i) * 3
    for r in tl.static_range(3):
        p = to_shadow + 4 * r
        value = tl.load(p) * x + tl.load(p + 1) * y + tl.load(p + 2) * z + tl.load(p + 3)
        tl.store(seen + at + r, value, mask=m)


@triton.jit
def background(room, cameras, keys, height, width, BLOCK: tl.constexpr):
    """Start the z-buffer with the room's planes."""
    s = tl.program_id(1)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < height * width
    c = cameras + 15 * s
    inverse = 1.0 / tl.load(c)
    dx = ((i % width).to(tl.float32) + 0.5 - tl.load(c + 1)) * inverse
    dy = ((i // width).to(tl.float32) + 0.5 - tl.load(c + 2)) * inverse
    best, plane = dx * 0 + 1e-12, i * 0
    for k in tl.static_range(3):
        d = tl.load(c + 3 + k) * dx + tl.load(c + 6 + k) * dy + tl.load(c + 9 + k)
        eye = tl.load(c + 12 + k)
        up = d > 0
        w = d / tl.where(up, tl.load(room + 3 + k) - eye, tl.load(room + k) - eye)
        nearer = w > best
        best = tl.where(nearer, w, best)
        plane = tl.where(nearer, 2 * k + up.to(tl.int32), plane)
    key = (best.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (0x7FFFFFFF - plane).to(tl.int64)
    tl.store(keys + s.to(tl.int64) * height * width + i, key, mask=m)


@triton.jit
def _corners(seen, faces, f, m, count, s):
    a = tl.load(faces + 3 * f, mask=m, other=0)
    b = tl.load(faces + 3 * f + 1, mask=m, other=0)
    c = tl.load(faces + 3 * f + 2, mask=m, other=0)
    base = seen + s.to(tl.int64) * count * 3
    x0 = tl.load(base + 3 * a, mask=m, other=0.0)
    y0 = tl.load(base + 3 * a + 1, mask=m, other=0.0)
    w0 = tl.load(base + 3 * a + 2, mask=m, other=-1.0)
    x1 = tl.load(base + 3 * b, mask=m, other=0.0)
    y1 = tl.load(base + 3 * b + 1, mask=m, other=0.0)
    w1 = tl.load(base + 3 * b + 2, mask=m, other=-1.0)
    x2 = tl.load(base + 3 * c, mask=m, other=0.0)
    y2 = tl.load(base + 3 * c + 1, mask=m, other=0.0)
    w2 = tl.load(base + 3 * c + 2, mask=m, other=-1.0)
    return a, b, c, x0, y0, w0, x1, y1, w1, x2, y2, w2


@triton.jit
def _box(x0, y0, x1, y1, x2, y2, height, width):
    """The pixels whose centres may lie in a triangle: left, top, columns, rows."""
    left = tl.minimum(tl.maximum(tl.minimum(x0, tl.minimum(x1, x2)), -4.0), width + 4.0)
    right = tl.minimum(tl.maximum(tl.maximum(x0, tl.maximum(x1, x2)), -4.0), width + 4.0)
    top = tl.minimum(tl.maximum(tl.minimum(y0, tl.minimum(y1, y2)), -4.0), height + 4.0)
    bottom = tl.minimum(tl.maximum(tl.maximum(y0, tl.maximum(y1, y2)), -4.0), height + 4.0)
    ix = tl.maximum(tl.ceil(left - 0.5), 0.0).to(tl.int32)
    iy = tl.maximum(tl.ceil(top - 0.5), 0.0).to(tl.int32)
    columns = tl.maximum(tl.minimum(tl.floor(right - 0.5), width - 1.0).to(tl.int32) - ix + 1, 0)
    rows = tl.maximum(tl.minimum(tl.floor(bottom - 0.5), height - 1.0).to(tl.int32) - iy + 1, 0)
    return ix, iy, columns, rows


@triton.jit
def _draw(
    k, n, f, ix, iy, columns, x0, y0, w0, x1, y1, w1, x2, y2, w2, keys, height, width, s
):  # fmt: skip
    """Offer the k-th pixel of the triangles' boxes to the z-buffer."""
    columns = tl.maximum(columns, 1)
    row = k // columns
    px, py = ix + k - row * columns, iy + row
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    inverse = 1.0 / tl.where(tl.abs(area) < 1e-9, 1.0, area)
    dx, dy = px.to(tl.float32) + 0.5 - x0, py.to(tl.float32) + 0.5 - y0
    b1 = dx * ((y2 - y0) * inverse) + dy * ((x0 - x2) * inverse)
    b2 = dx * ((y0 - y1) * inverse) + dy * ((x1 - x0) * inverse)
    n = tl.where(tl.abs(area) < 1e-9, 0, n)
    inside = (k < n) & (b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1.0)
    w = tl.maximum(w0 + b1 * (w1 - w0) + b2 * (w2 - w0), 1e-12)
    key = (w.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (0x7FFFFFFF - 6 - f).to(tl.int64)
    at = keys + s.to(tl.int64) * height * width + py * width + px
    tl.atomic_max(at, key, mask=inside, sem="relaxed")


@triton.jit
def raster_small(
    seen, faces, keys, listed, listed_count, count, face_count, height, width,
    LIMIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One lane per face of at most LIMIT pixels; larger faces, and cut ones, are listed."""
    s = tl.program_id(1)
    f = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = f < face_count
    _a, _b, _c, x0, y0, w0, x1, y1, w1, x2, y2, w2 = _corners(seen, faces, f, m, count, s)
    whole = (w0 > 0) & (w1 > 0) & (w2 > 0)
    cut = ((w0 > 0) | (w1 > 0) | (w2 > 0)) & ~whole
    ix, iy, columns, rows = _box(x0, y0, x1, y1, x2, y2, height, width)
    n = tl.where(whole & m, columns * rows, 0)
    later = m & (cut | (n > LIMIT))
    place = tl.atomic_add(listed_count + s + f * 0, 1, mask=later, sem="relaxed")
    tl.store(listed + s.to(tl.int64) * face_count + place, f, mask=later)
    n = tl.where(later, 0, n)
    for k in range(tl.max(n, 0)):
        _draw(k, n, f, ix, iy, columns, x0, y0, w0, x1, y1, w1, x2, y2, w2, keys, height, width, s)


@triton.jit
def raster_large(
    seen, vertices, cameras, faces, keys, listed, listed_count, count, face_count, height, width,
    near, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for many listed faces, one after another, a block of pixels at a time."""
    s = tl.program_id(1)
    for entry in range(tl.program_id(0), tl.load(listed_count + s), tl.num_programs(0)):
        f = tl.load(listed + s.to(tl.int64) * face_count + entry)
        a, b, c, x0, y0, w0, x1, y1, w1, x2, y2, w2 = _corners(seen, faces, f, True, count, s)
        if (w0 > 0) & (w1 > 0) & (w2 > 0):
            ix, iy, columns, rows = _box(x0, y0, x1, y1, x2, y2, height, width)
            for start in range(0, columns * rows, BLOCK):
                k = start + tl.arange(0, BLOCK)
                _draw(
                    k, columns * rows, f + k * 0, ix, iy, columns,
                    x0, y0, w0, x1, y1, w1, x2, y2, w2, keys, height, width, s,
                )  # fmt: skip
        else:
            _draw_cut(vertices, cameras, keys, f, a, b, c, count, height, width, near, s, BLOCK)


@triton.jit
def _draw_cut(
    vertices, cameras, keys, f, a, b, c, count, height, width, near, s, BLOCK: tl.constexpr
):  # fmt: skip
    """A face that crosses the near plane: a ray through every pixel, kept beyond `near`."""
    base = vertices + s.to(tl.int64) * count * 3
    camera = cameras + 15 * s
    for start in range(0, height * width, BLOCK):
        i = start + tl.arange(0, BLOCK)
        vx, vy, vz = _ray(camera, i, width)
        b1, b2, w = _meet(base, camera, a, b, c, vx, vy, vz, True)
        inside = (i < height * width) & (b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1.0)
        inside = inside & (w > 0) & (w * near <= 1.0)
        w = tl.where(inside, w, 1.0)
        key = (w.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (0x7FFFFFFF - 6 - f).to(tl.int64)
        tl.atomic_max(keys + s.to(tl.int64) * height * width + i, key, mask=inside, sem="relaxed")


@triton.jit
def _ray(camera, i, width):
    """World directions of depth 1 through pixel centres."""
    inverse = 1.0 / tl.load(camera)
    dx = ((i % width).to(tl.float32) + 0.5 - tl.load(camera + 1)) * inverse
    dy = ((i // width).to(tl.float32) + 0.5 - tl.load(camera + 2)) * inverse
    vx = tl.load(camera + 3) * dx + tl.load(camera + 6) * dy + tl.load(camera + 9)
    vy = tl.load(camera + 4) * dx + tl.load(camera + 7) * dy + tl.load(camera + 10)
    vz = tl.load(camera + 5) * dx + tl.load(camera + 8) * dy + tl.load(camera + 11)
    return vx, vy, vz


@triton.jit
def _meet(base, camera, a, b, c, vx, vy, vz, m):
    """The weights of corners b and c, and the inverse depth, where rays meet faces' planes."""
    ax = tl.load(base + 3 * a, mask=m, other=0.0)
    ay = tl.load(base + 3 * a + 1, mask=m, other=0.0)
    az = tl.load(base + 3 * a + 2, mask=m, other=0.0)
    ex = tl.load(base + 3 * b, mask=m, other=1.0) - ax
    ey = tl.load(base + 3 * b + 1, mask=m, other=0.0) - ay
    ez = tl.load(base + 3 * b + 2, mask=m, other=0.0) - az
    fx = tl.load(base + 3 * c, mask=m, other=0.0) - ax
    fy = tl.load(base + 3 * c + 1, mask=m, other=1.0) - ay
    fz = tl.load(base + 3 * c + 2, mask=m, other=0.0) - az
    sx, sy, sz = tl.load(camera + 12) - ax, tl.load(camera + 13) - ay, tl.load(camera + 14) - az
    px, py, pz = vy * fz - vz * fy, vz * fx - vx * fz, vx * fy - vy * fx
    scale = ex * px + ey * py + ez * pz
    scale = tl.where(scale == 0, 1e-30, scale)
    b1 = (sx * px + sy * py + sz * pz) / scale
    px, py, pz = sy * ez - sz * ey, sz * ex - sx * ez, sx * ey - sy * ex
    b2 = (vx * px + vy * py + vz * pz) / scale
    far = fx * px + fy * py + fz * pz
    return b1, b2, scale / tl.where(far == 0, 1e-30, far)
