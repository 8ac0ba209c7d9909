"""Small archives for the fuzzer and the data-set tests: python make_sets.py, beside golden/images."""
import gzip
import io
import struct
import tarfile

import numpy as np

idx = struct.pack(">BBBBIII", 0, 0, 8, 3, 5, 6, 7) + np.arange(5 * 6 * 7, dtype=np.uint8).tobytes()
open("five-idx3-ubyte", "wb").write(idx)
with open("five-idx3-ubyte.gz", "wb") as f:
    with gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(idx)
for kind, code in (("ustar", tarfile.USTAR_FORMAT), ("pax", tarfile.PAX_FORMAT), ("gnu", tarfile.GNU_FORMAT)):
    with tarfile.open(f"{kind}.tar", "w", format=code) as t:
        for name, source in (("one/jpeg.jpg", "jpeg_420.jpg"), ("two/" + ("ä" if kind != "ustar" else "a") + "x" * 120 * (kind != "ustar") + ".png", "png_palette2.png")):
            data = open(f"../images/{source}", "rb").read()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
