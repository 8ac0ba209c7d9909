"""What the checkers share: count, say where, return the verdict; CRC-32C; a small PNG reader.

Comparisons are written so that NaN fails.
"""
import struct
import sys
import zlib

import numpy as np

SHOWN = 20


class Verdict:
    def __init__(self):
        self.checks = self.failures = 0
        self.worst = {}

    def check(self, good, *message):
        """All of good (a truth value or an array of them)."""
        self.checks += 1
        good = bool(good.all()) if isinstance(good, np.ndarray) else bool(good)
        if not good:
            self.failures += 1
            if self.failures <= SHOWN:
                print("FAIL:", *message)
        return good

    def near(self, what, got, want, tolerance):
        """|got - want| <= tolerance everywhere; remembers the largest share of the tolerance."""
        got, want, tolerance = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (got, want, tolerance)))
        if not self.check(got.shape == want.shape, what, "shape", got.shape, "want", want.shape) or not got.size:
            return
        error = np.abs(got - want)
        share = np.where(error == 0, 0, error / np.maximum(tolerance, 1e-300))
        bad = ~(error <= tolerance)
        at = np.unravel_index(np.argmax(np.where(np.isnan(share), np.inf, share)), share.shape)
        group = what.split(":")[0]
        if not share[at] <= self.worst.get(group, (0, ""))[0]:
            self.worst[group] = (share[at], f"{what}{list(map(int, at))}: {got[at]:.9g}, reference {want[at]:.9g}")
        self.check(~bad, what, f"{bad.sum()} of {bad.size} off, worst at {list(map(int, at))}:", got[at], "want", want[at],
                   "within", tolerance[at])

    def end(self):
        for group, (share, text) in self.worst.items():
            print(f"largest error, {group}: {share:.3g} of the tolerance, {text}")
        print(self.checks, "checks,", self.failures, "failed")
        return 1 if self.failures or not self.checks else 0


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _tables(count):
    """Table t gives the CRC register after byte b followed by t zero bytes."""
    base = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        base = np.where(base & 1, (base >> 1) ^ np.uint32(0x82F63B78), base >> 1)
    tables = [base]
    for _ in range(count - 1):
        tables.append((tables[-1] >> 8) ^ base[tables[-1] & 0xFF])
    return tables


_T = _tables(8)


def _zeros_matrix(n):
    """Columns of the linear map that n zero bytes are to a register."""
    def times(a, columns):
        out = np.zeros_like(columns)
        for bit in range(32):
            out ^= np.where((columns >> np.uint32(bit)) & 1, a[bit], np.uint32(0))
        return out

    one = np.uint32(1) << np.arange(32, dtype=np.uint32)
    square = (one >> 8) ^ _T[0][one & 0xFF]
    result = one
    while n:
        if n & 1:
            result = times(square, result)
        square = times(square, square)
        n >>= 1
    return result


def crc32c(data):
    """CRC-32C (Castagnoli) of bytes: many stretches side by side, then joined."""
    data = np.frombuffer(data, np.uint8)
    lanes = 1 << max(0, min(14, len(data).bit_length() - 8))
    length = len(data) // lanes
    register = np.zeros(lanes, np.uint32)
    register[0] = 0xFFFFFFFF
    block = np.ascontiguousarray(data[:lanes * length].reshape(lanes, length).T)
    for row in block:
        register = (register >> 8) ^ _T[0][(register & 0xFF) ^ row]
    skip, total = _zeros_matrix(length), np.uint32(0)
    for r in register:
        moved = np.uint32(0)
        for bit in range(32):
            if (total >> np.uint32(bit)) & 1:
                moved ^= skip[bit]
        total = moved ^ r
    for byte in data[lanes * length:]:
        total = (total >> np.uint32(8)) ^ _T[0][(total & np.uint32(0xFF)) ^ byte]
    return int(total ^ np.uint32(0xFFFFFFFF))


def read_png(file):
    """u1 [H,W,C] of a plain 8-bit PNG without interlacing."""
    with open(file, "rb") as f:
        data = f.read()
    at, body, channels = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            w, h, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunk)
            assert depth == 8 and interlace == 0 and colour in (0, 2, 6)
            channels = {0: 1, 2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            body += chunk
        at += 12 + size
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(h, 1 + w * channels)
    out = np.zeros((h, w * channels), np.int64)
    for y, line in enumerate(lines):
        above = out[y - 1] if y else np.zeros(w * channels, np.int64)
        out[y] = _unfilter(line[0], line[1:].astype(np.int64), above, channels)
    return out.astype(np.uint8).reshape(h, w, channels)


def _unfilter(kind, line, above, step):
    if kind == 0:
        return line
    if kind == 2:
        return (line + above) & 255
    out = np.concatenate([np.zeros(step, np.int64), line])
    up = np.concatenate([np.zeros(step, np.int64), above])
    for i in range(step, len(out)):
        a, b, c = int(out[i - step]), int(up[i]), int(up[i - step])
        if kind == 1:
            guess = a
        elif kind == 3:
            guess = (a + b) // 2
        else:
            p = a + b - c
            guess = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        out[i] = (out[i] + guess) & 255
    return out[step:]


if __name__ == "__main__":
    assert crc32c(b"123456789") == 0xE3069283
    rng = np.random.default_rng(0)
    for n in (0, 1, 31, 255, 256, 4097, 100003):
        data, crc = rng.integers(0, 256, n, dtype=np.uint8), 0xFFFFFFFF
        for byte in data:
            crc = (crc >> 8) ^ int(_T[0][(crc & 255) ^ int(byte)])
        assert crc32c(data.tobytes()) == crc ^ 0xFFFFFFFF, n
    print("CRC-32C agrees")
    sys.exit(0)
