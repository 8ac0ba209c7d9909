"""Small pictures of every kind, and the pixels that Pillow makes of them.

Run here: python make_images.py  (Pillow 13.0.0 with libjpeg-turbo 3.2.0 and libtiff 4.7.2, numpy 2)

Writes the pictures and expected.bin.gz: for each line of expected.txt, `case height width channels`, that many bytes.
Pictures are decoded with Image.open(f).convert("L" or "RGB"); 16-bit samples are rint(x / 257) of the array that was
written, since Pillow would cut them.  Lines with arguments are calls of Image.resize on a picture of the list.
PNG kinds that Pillow does not write (interlaced, 16-bit colour, tRNS) and TIFF in tiles or planes are written by hand.
"""
import gzip
import io
import struct
import zlib

import numpy as np
from PIL import Image

rng = np.random.default_rng(7)
H, W = 23, 37
listing, blob = [], bytearray()


def scene(h, w, c):
    """Smooth shapes with some noise: neither flat nor random, so that every decoder step matters."""
    y, x = np.mgrid[0:h, 0:w].astype(float)
    out = np.stack([127 + 90 * np.sin((k + 2) * x / w * 3 + k) * np.cos((k + 1) * y / h * 4 - k) + 30 * (x * (k + 1) > y * 2) for k in range(c)], -1)
    return np.clip(out + rng.normal(0, 6, out.shape), 0, 255).astype(np.uint8)


def expect(case, a):
    a = np.ascontiguousarray(a, np.uint8)
    h, w = a.shape[:2]
    listing.append(f"{case} {h} {w} {1 if a.ndim == 2 else a.shape[2]}")
    blob.extend(a.tobytes())


def by_pillow(name):
    im = Image.open(name)
    expect(name, np.asarray(im.convert("L" if im.mode in ("L", "1", "LA") else "RGB")))


def save(name, im, **options):
    im.save(name, **options)
    by_pillow(name)


rgb, grey, inks = scene(H, W, 3), scene(H, W, 1)[..., 0], scene(H, W, 4)
colour = Image.fromarray(rgb)

# --- JPEG
for name, options in {"444": dict(subsampling=0), "422": dict(subsampling=1), "420": dict(subsampling=2),
                      "progressive": dict(progressive=True), "optimised": dict(optimize=True, quality=30),
                      "restarts": dict(restart_marker_blocks=2)}.items():
    save(f"jpeg_{name}.jpg", colour, **({"quality": 85} | options))
save("jpeg_grey.jpg", Image.fromarray(grey), quality=90)
save("jpeg_cmyk.jpg", Image.fromarray(inks, "CMYK"), quality=90)
for name in ("jpeg_ycck.jpg", "jpeg_ycck_420.jpg", "jpeg_440.jpg"):  # make_jpegs.c
    by_pillow(name)
save("jpeg_one.jpg", Image.fromarray(rgb[:1, :1]), quality=90)


# --- PNG by hand
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(a, depth):
    """Filter 0 rows of samples a [h, w, c]."""
    if a.size == 0:
        return b""
    out = b""
    for row in a.reshape(a.shape[0], -1):
        bits = row.astype(">u2").tobytes() if depth == 16 else np.packbits(
            np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth:].ravel()).tobytes()
        out += b"\0" + bits
    return out


def png(name, a, depth, kind, extra=b"", interlaced=False):
    a = a.reshape(a.shape[0], a.shape[1], -1)
    data = rows(a, depth)
    if interlaced:
        data = b"".join(rows(a[y::dy, x::dx], depth) for y, x, dy, dx in
                        ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)))
    with open(name, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", a.shape[1], a.shape[0], depth, kind, 0, 0, interlaced)) + extra
                + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b""))


def narrow(a):
    return np.rint(a / 257.0).astype(np.uint8)


palette = rng.integers(0, 256, (256, 3)).astype(np.uint8)
plte = chunk(b"PLTE", palette.tobytes())
save("png_rgb.png", colour)
save("png_grey.png", Image.fromarray(grey))
save("png_rgba.png", Image.fromarray(inks, "RGBA"))
save("png_la.png", Image.fromarray(inks[..., :2].copy(), "LA"))
for depth in (1, 2, 4):
    png(f"png_grey{depth}.png", grey >> (8 - depth), depth, 0)
    by_pillow(f"png_grey{depth}.png")
    png(f"png_palette{depth}.png", grey >> (8 - depth), depth, 3, chunk(b"PLTE", palette[:1 << depth].tobytes()))
    by_pillow(f"png_palette{depth}.png")
png("png_palette8_trns.png", grey, 8, 3, plte + chunk(b"tRNS", bytes(range(200))))
by_pillow("png_palette8_trns.png")
png("png_grey_trns.png", grey, 8, 0, chunk(b"tRNS", struct.pack(">H", int(grey[3, 3]))))
by_pillow("png_grey_trns.png")
png("png_rgb_trns.png", rgb, 8, 2, chunk(b"tRNS", struct.pack(">HHH", *(int(v) for v in rgb[3, 3]))))
by_pillow("png_rgb_trns.png")
png("png_interlaced.png", rgb, 8, 2, interlaced=True)
by_pillow("png_interlaced.png")
png("png_gamma.png", rgb, 8, 2, chunk(b"gAMA", struct.pack(">I", 100000)))
by_pillow("png_gamma.png")
wide = rng.integers(0, 65536, (H, W, 4)).astype(np.uint16)
wide[:2, :, :] = np.arange(W)[None, :, None] + 257 * 100 + np.array([-130, -129, -128, 127])  # around the rounding step
for name, c, kind in (("grey16", 1, 0), ("la16", 2, 4), ("rgb16", 3, 2), ("rgba16", 4, 6)):
    png(f"png_{name}.png", wide[..., :c], 16, kind)
    expect(f"png_{name}.png", narrow(wide[..., 0] if c < 3 else wide[..., :3]))
png("png_rgb16_interlaced.png", wide[..., :3], 16, 2, interlaced=True)
expect("png_rgb16_interlaced.png", narrow(wide[..., :3]))

# --- TIFF
for name, im, options in (("rgb", colour, {}), ("grey_lzw", Image.fromarray(grey), dict(compression="tiff_lzw")),
                          ("rgb_deflate", colour, dict(compression="tiff_adobe_deflate")), ("rgb_packbits", colour, dict(compression="packbits")),
                          ("rgb_jpeg", colour, dict(compression="jpeg", quality=90)), ("rgba", Image.fromarray(inks, "RGBA"), {}),
                          ("cmyk", Image.fromarray(inks, "CMYK"), dict(compression="tiff_lzw")),
                          ("bilevel", Image.fromarray(grey).convert("1"), dict(compression="group4")),
                          ("palette", colour.quantize(40), {}), ("la", Image.fromarray(inks[..., :2].copy(), "LA"), {})):
    save(f"tiff_{name}.tif", im, **options)
two = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
two[0].save("tiff_pages.tif", save_all=True, append_images=two[1:])
by_pillow("tiff_pages.tif")


def tiff(name, a, bits, photometric, order="<", tile=None, planes=False, samples_extra=0):
    """Uncompressed, one strip, or tiles of tile x tile."""
    a = a.reshape(a.shape[0], a.shape[1], -1)
    h, w, c = a.shape
    a = a.astype(order + ("u2" if bits == 16 else "u1"))
    parts = []
    for plane in ([a[..., k:k + 1] for k in range(c)] if planes else [a]):
        if tile:
            for y in range(0, h, tile):
                for x in range(0, w, tile):
                    cell = np.zeros((tile, tile, plane.shape[2]), a.dtype)
                    part = plane[y:y + tile, x:x + tile]
                    cell[:part.shape[0], :part.shape[1]] = part
                    parts.append(cell.tobytes())
        else:
            parts.append(plane.tobytes())
    tags = [(256, "I", [w]), (257, "I", [h]), (258, "H", [bits] * c), (259, "H", [1]), (262, "H", [photometric]), (277, "H", [c]),
            (284, "H", [2 if planes else 1])]
    if samples_extra:
        tags.append((338, "H", [0] * samples_extra))
    at, offsets = 8, []
    for part in parts:
        offsets.append(at)
        at += len(part)
    tags += [(322, "I", [tile]), (323, "I", [tile]), (324, "I", offsets), (325, "I", [len(p) for p in parts])] if tile else [
        (273, "I", offsets), (278, "I", [h]), (279, "I", [len(p) for p in parts])]
    tags.sort()
    where, entries, tail = at + 2 + 12 * len(tags) + 4, b"", b""
    for tag, kind, values in tags:
        data = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(data) <= 4:
            data = data.ljust(4, b"\0")
        else:
            tail += data
            data = struct.pack(order + "I", where + len(tail) - len(data))
        entries += struct.pack(order + "HHI", tag, 3 if kind == "H" else 4, len(values)) + data
    with open(name, "wb") as f:
        f.write((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, at) + b"".join(parts) + struct.pack(order + "H", len(tags))
                + entries + struct.pack(order + "I", 0) + tail)


tiff("tiff_tiled.tif", rgb, 8, 2, tile=16)
by_pillow("tiff_tiled.tif")
tiff("tiff_planes.tif", rgb, 8, 2, planes=True)
by_pillow("tiff_planes.tif")
tiff("tiff_planes_tiled_mm.tif", rgb, 8, 2, ">", tile=16, planes=True)
expect("tiff_planes_tiled_mm.tif", rgb)
tiff("tiff_white.tif", grey, 8, 0)
by_pillow("tiff_white.tif")
for order, name in (("<", "ii"), (">", "mm")):
    tiff(f"tiff_grey16_{name}.tif", wide[..., :1], 16, 1, order)
    expect(f"tiff_grey16_{name}.tif", narrow(wide[..., 0]))
    tiff(f"tiff_rgb16_{name}.tif", wide[..., :3], 16, 2, order)
    expect(f"tiff_rgb16_{name}.tif", narrow(wide[..., :3]))
tiff("tiff_rgba16.tif", wide, 16, 2, samples_extra=1)
expect("tiff_rgba16.tif", narrow(wide[..., :3]))

# --- resize
big = scene(61, 83, 3)
big[20:40, 10:30] = rng.integers(0, 256, (20, 20, 3))
sources = {"resize_rgb.png": Image.fromarray(big), "resize_grey.png": Image.fromarray(big[..., 0]), "resize_row.png": Image.fromarray(big[:1])}
for name, im in sources.items():
    save(name, im)
filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "nearest": Image.NEAREST}
sizes = {"resize_rgb.png": [(7, 9), (30, 41), (61, 40), (33, 83), (61, 83), (100, 90), (1, 1), (64, 200), (2, 83), (59, 82)],
         "resize_grey.png": [(13, 13), (70, 50), (31, 97)], "resize_row.png": [(5, 20), (1, 40), (3, 130)]}
for name, im in sources.items():
    for how, code in filters.items():
        for h, w in sizes[name]:
            expect(f"{name}:{how}", np.asarray(im.resize((w, h), code)))

# --- grey of RGB
expect("png_rgb.png:gray", np.asarray(colour.convert("L")))
expect("resize_rgb.png:gray", np.asarray(sources["resize_rgb.png"].convert("L")))

with open("expected.txt", "w") as f:
    f.write("\n".join(listing) + "\n")
with open("expected.bin.gz", "wb") as f:
    with gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(bytes(blob))
