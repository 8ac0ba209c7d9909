"""Foreign files, written byte by byte: PNG, TIFF, FITS, SAC."""
import struct
import zlib

import numpy as np


def png(name, a, bits):
    h, w = a.shape[:2]
    raw = b''.join(b'\0' + row.astype('>u%d' % (bits // 8)).tobytes() for row in a)
    chunk = lambda kind, body: struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    head = struct.pack('>IIBBBBB', w, h, bits, 2 if a.ndim == 3 else 0, 0, 0, 0)
    with open(name, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(raw)) + chunk(b'IEND', b''))


def tiff(name, pages, kind, order='<'):
    """Pages without compression; kind: SampleFormat."""
    body, offset, ifds = b'', 8, []
    pages = [p.astype(order + p.dtype.str[1:]) for p in pages]
    for p in pages:
        ifds.append(offset + len(body))
        body += p.tobytes()
    out = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8 + len(body)) + body
    for i, (p, at) in enumerate(zip(pages, ifds)):
        samples = p.shape[2] if p.ndim == 3 else 1
        entries = [(256, 4, p.shape[1]), (257, 4, p.shape[0]), (258, 3, p.itemsize * 8), (259, 3, 1), (262, 3, 2 if samples == 3 else 1),
                   (273, 4, at), (277, 3, samples), (278, 4, p.shape[0]), (279, 4, p.nbytes), (339, 3, kind)]
        if samples == 3:
            entries[2] = (258, 3, None)
        extra = len(out) + 2 + 12 * len(entries) + 4
        out += struct.pack(order + 'H', len(entries))
        for tag, t, v in entries:
            if v is None:
                out += struct.pack(order + 'HHII', tag, t, 3, extra)
            elif t == 3:
                out += struct.pack(order + 'HHIHH', tag, t, 1, v, 0)
            else:
                out += struct.pack(order + 'HHII', tag, t, 1, v)
        size = 6 if samples == 3 else 0
        out += struct.pack(order + 'I', extra + size if i + 1 < len(pages) else 0)
        out += struct.pack(order + '3H', *([p.itemsize * 8] * 3)) if size else b''
    with open(name, 'wb') as f:
        f.write(out)


def fits(name, a, bitpix, scale=1.0, zero=0.0, more=()):
    """more: further cards, (key, whole number)."""
    cards = ['SIMPLE  =                    T', 'BITPIX  = %20d' % bitpix, 'NAXIS   = %20d' % a.ndim]
    cards += ['NAXIS%-3d= %20d' % (i + 1, n) for i, n in enumerate(reversed(a.shape))]
    cards += ['BSCALE  = %20.10E' % scale, 'BZERO   = %20.10E' % zero] + ['%-8s= %20d' % k for k in more] + ['END']
    head = ''.join(c.ljust(80) for c in cards)
    head = head.ljust((len(head) + 2879) // 2880 * 2880).encode()
    body = a.astype({-32: '>f4', 8: 'u1', 16: '>i2', 32: '>i4', -64: '>f8'}[bitpix]).tobytes()
    with open(name, 'wb') as f:
        f.write(head + body + b'\0' * (-len(body) % 2880))


def sac(name, trace, delta, order='<'):
    head = np.zeros(158, order + 'i4')
    reals = head.view(order + 'f4')
    reals[:70] = -12345
    reals[0] = delta
    head[76], head[79] = 6, len(trace)
    with open(name, 'wb') as f:
        f.write(head.tobytes() + trace.astype(order + 'f4').tobytes())
