#!/usr/bin/python3
"""Read with h5py and h5dump what `io_test_store make` wrote.  Usage: store_h5py.py IO_TEST_STORE.  77: no h5py."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit(77)


def crc32c(data):
    """CRC-32C, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def check(f):
    assert text(f.attrs["format"]) == "deconvoy" and f.attrs["format_version"] == 1
    config = text(f.attrs["config_yaml"])
    assert len(config) == 100000 and config == "".join(chr(97 + i * 7 % 26) for i in range(100000))
    assert text(f.attrs["empty"]) == ""
    group = f["/job/L.1"]
    assert text(group.attrs["layer"]) == "L/1 é"

    value = group["value"]
    assert value.dtype == "<f4" and np.array_equal(value[:], (np.arange(24) / 4).reshape(2, 3, 4))
    assert group["y"].dtype == "<i4" and list(group["y"]) == [0, 16, 32]
    assert group["x"].dtype == "<f8" and list(group["x"]) == [0.5, 1.5, 2.5, 3.5]
    assert group["patch"].dtype == "u1" and np.array_equal(group["patch"][:].ravel(), 2 * np.arange(120))
    assert [n.decode() for n in f["/inputs/name"]] == ["a.jpg", "é.png"]
    kind = h5py.check_string_dtype(f["/inputs/name"].dtype)
    assert kind.encoding == "utf-8" and kind.length == 7
    assert f["/failures/count"][()] == -5 and f["/failures/count"].shape == ()
    assert f["/none"].shape == (0,) and f["/none2"].shape == (3, 0)
    for item in (f["/job/L.1/value"], f["/inputs/name"]):
        assert item.chunks is None and item.id.get_offset() is not None

    # dimension scales, by the library's own functions
    assert [d.label for d in value.dims] == ["picture", "y", ""]
    assert [len(d) for d in value.dims] == [0, 1, 1]
    assert value.dims[1][0] == group["y"] and value.dims[2][0] == group["x"]
    assert h5py.h5ds.is_scale(group["y"].id) and not h5py.h5ds.is_scale(value.id)
    assert h5py.h5ds.is_attached(value.id, group["x"].id, 2) and not h5py.h5ds.is_attached(value.id, group["x"].id, 1)
    assert h5py.h5ds.get_scale_name(group["y"].id) == b"y"
    assert f[group["x"].attrs["REFERENCE_LIST"][0][0]] == value

    # NeXus, pictures
    assert [text(f[p].attrs["NX_class"]) for p in ("/", "/job", "/job/L.1")] == ["NXroot", "NXentry", "NXdata"]
    assert text(f.attrs["default"]) == "job/L.1" and text(f["/job"].attrs["default"]) == "L.1"
    assert text(group.attrs["signal"]) == "value" and [text(a) for a in group.attrs["axes"]] == [".", "y", "x"]
    image = {k: text(v) for k, v in group["patch"].attrs.items() if k != "IMAGE_MINMAXRANGE"}
    assert image == {"CLASS": "IMAGE", "IMAGE_VERSION": "1.2", "IMAGE_SUBCLASS": "IMAGE_TRUECOLOR",
                     "INTERLACE_MODE": "INTERLACE_PIXEL", "interpretation": "rgb-image"}

    # one check sum for each other data set, right where we can see it
    sets = []
    f.visititems(lambda name, item: sets.append("/" + name) if isinstance(item, h5py.Dataset) else None)
    paths = [p.decode() for p in f["/checksums/path"]]
    assert sorted(paths + ["/checksums/path", "/checksums/crc32c"]) == sorted(sets)
    assert f["/checksums/crc32c"].dtype == "<u4"
    for path, crc in zip(paths, f["/checksums/crc32c"]):
        assert crc == crc32c(np.asarray(f[path][()]).tobytes()), path


def main():
    folder = tempfile.mkdtemp()
    try:
        files = [os.path.join(folder, name) for name in ("a.h5", "b.h5")]
        for name in files:
            subprocess.run([sys.argv[1], "make", name], check=True)
            time.sleep(1.1)  # a date in the file would differ
        with open(files[0], "rb") as a, open(files[1], "rb") as b:
            assert a.read() == b.read(), "two runs, two files"
        with h5py.File(files[0], "r") as f:
            check(f)
        if shutil.which("h5dump"):
            out = subprocess.run(["h5dump", files[0]], check=True, capture_output=True).stdout
            assert b"DATASET \"value\"" in out and b"-5" in out
    finally:
        shutil.rmtree(folder)


main()
