"""As much of Pillow as the worker kit touches."""


class Image:
    def __init__(self, size, data):
        self.size, self.data = size, data

    def tobytes(self):
        return self.data


def frombuffer(mode, size, data, decoder, raw, stride, orientation):
    assert (mode, decoder, raw, stride, orientation) == ("RGB", "raw", "RGB", 0, 1)
    return Image(size, bytes(data))
