"""Frames between the plugin and this process: 16 bytes, then JSON of the arrays, JSON of the message, array bytes.

plugin-api/src/frames.rs is the authority. All numbers are little-endian.
"""

import json
import struct
from collections import namedtuple

HELLO, CALL, REPLY, ERROR, EVENT = range(5)

Frame = namedtuple("Frame", "kind op header arrays body")


def write(socket, kind, op="", header="", values=(), body=None):
    """Sends a frame; `values` are what `arrays.pack` makes of arrays, `body` is other bytes in their place."""
    metas = [{"dtype": dtype, "shape": shape} for dtype, shape, _ in values]
    meta = json.dumps({"op": op, "arrays": metas}).encode()
    header = header.encode()
    body = b"".join(data for _, _, data in values) if body is None else body
    socket.sendall(struct.pack("<4I", kind, len(meta), len(header), len(body)) + meta + header)
    socket.sendall(body)


def read(socket):
    """The next frame, or None when the other side hung up."""
    head = _read(socket, 16)
    if head is None:
        return None
    kind, *lengths = struct.unpack("<4I", head)
    meta, header, body = (_read(socket, length) for length in lengths)
    if body is None:
        return None
    meta = json.loads(bytes(meta))
    return Frame(kind, meta["op"], bytes(header).decode(), meta["arrays"], memoryview(body))


def _read(socket, length):
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = socket.recv_into(view)
        if count == 0:
            return None
        view = view[count:]
    return data
