"""Arrays as they travel. numpy and torch are used where a model uses them, and needed nowhere."""

import sys
from array import array

BYTES = {"u8": 1, "f32": 4, "i64": 8}
CODES = {"u8": "B", "f32": "f", "i64": "q"}


def pack(value):
    """dtype, shape and bytes of a numpy array, a torch tensor or nested lists of numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        kind = {"f": "f32", "i": "i64", "u": "u8" if value.dtype.itemsize == 1 else "i64", "b": "u8"}.get(value.dtype.kind)
        if kind is None:
            raise TypeError(f"an array of {value.dtype}; expected numbers")
        names = {"f32": "<f4", "i64": "<i8", "u8": "u1"}
        return kind, list(value.shape), value.astype(names[kind], order="C", copy=False).tobytes()
    shape, flat = _flatten(value)
    integers = bool(flat) and all(isinstance(number, int) and not isinstance(number, bool) for number in flat)
    kind = "i64" if integers else "f32"
    values = array(CODES[kind], flat)
    if sys.byteorder == "big":
        values.byteswap()
    return kind, shape, values.tobytes()


def matrix(value, what, rows=None, columns=None):
    """As `pack`, but f32 of two axes, with the rows and columns that are expected."""
    kind, shape, data = pack(value)
    if kind == "i64":
        kind, data = "f32", array("f", array("q", data)).tobytes()
    if shape == [0] and not rows:
        shape = [0, columns or 0]
    fits = len(shape) == 2 and all(want in (None, have) for want, have in zip((rows, columns), shape))
    if kind != "f32" or not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in (rows, columns))
        raise ValueError(f"`{what}` returned an array of shape {shape}; expected [{wanted}]")
    return kind, shape, data


def _flatten(value):
    if not isinstance(value, (list, tuple)):
        return [], [value]
    parts = [_flatten(item) for item in value]
    if any(shape != parts[0][0] for shape, _ in parts):
        raise ValueError("nested lists whose rows differ in length")
    return [len(value), *(parts[0][0] if parts else [])], [number for _, flat in parts for number in flat]
