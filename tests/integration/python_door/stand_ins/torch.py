"""As much of torch as the workers and the stand-ins touch: arrays are nested lists."""

from record import record

float16 = "float16"


class Tensor(list):
    @property
    def shape(self):
        inner = Tensor(self[0]).shape if self and isinstance(self[0], list) else []
        return [len(self), *inner]

    def __getitem__(self, at):
        item = list.__getitem__(self, at)
        return Tensor(item) if isinstance(item, list) else item

    def unsqueeze(self, axis):
        assert axis == 0
        return Tensor([list(self)])

    def to(self, *place, **kind):
        record("to", place=place, kind=kind)
        return self

    def tolist(self):
        return list(self)


class cuda:
    @staticmethod
    def set_device(number):
        record("set_device", number=number)


def inference_mode():
    return lambda function: function


def manual_seed(seed):
    record("manual_seed", seed=seed)


def stack(tensors):
    return Tensor(list(tensors))
