"""Files that tests make: ONNX, just enough of it, in protobuf fields by number; PNG."""
import struct
import zlib


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, a):
    """Floats, or whole numbers of 64 bits."""
    kind, raw = (7, a.astype("<i8")) if a.dtype.kind == "i" else (1, a.astype("<f4"))
    return b"".join(field(1, d) for d in a.shape) + field(2, kind) + field(8, name) + field(9, raw.tobytes())


def value_info(name, dims):
    shape = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def attribute(a):
    """Whole numbers, lists of them, numbers with a point, texts."""
    if isinstance(a, int):
        return field(3, a) + field(20, 2)
    if isinstance(a, float):
        return varint(2 << 3 | 5) + struct.pack("<f", a) + field(20, 1)
    if isinstance(a, str):
        return field(4, a) + field(20, 3)
    return b"".join(field(8, i) for i in a) + field(20, 7)


def node(op, ins, outs, attrs):
    body = b"".join(field(1, i) for i in ins) + b"".join(field(2, o) for o in outs) + field(4, op)
    for k, a in attrs.items():
        body += field(5, field(1, k) + attribute(a))
    return body


def write(file, nodes, weights, inputs, outputs, opset=13):
    """nodes: (operator, inputs, outputs, attributes); weights: arrays by name; inputs, outputs: extents by name, texts where
    they are open."""
    graph = b"".join(field(1, node(*n)) for n in nodes) + field(2, "g")
    graph += b"".join(field(5, tensor(n, w)) for n, w in weights.items())
    graph += b"".join(field(11, value_info(n, d)) for n, d in inputs.items())
    graph += b"".join(field(12, value_info(n, d)) for n, d in outputs.items())
    with open(file, "wb") as f:
        f.write(field(1, 7) + field(7, graph) + field(8, field(1, "") + field(2, opset)))


def write_png(file, a):
    """u1 [h,w] or [h,w,3]."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", a.shape[1], a.shape[0], 8, 0 if a.ndim == 2 else 2, 0, 0, 0)
    with open(file, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
                chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in a))) + chunk(b"IEND", b""))
