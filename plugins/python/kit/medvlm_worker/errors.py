"""Errors by what the host needs to know of them; the numbers are those of the plugin contract."""


class WorkerError(Exception):
    """Anything that no other kind says better."""

    code = 100


class Unsupported(WorkerError):
    """The model cannot do what was asked."""

    code = 1


class ConfigError(WorkerError):
    """The model cannot be opened as configured."""

    code = 2


class InputError(WorkerError):
    """The request makes no sense to this model."""

    code = 3


class OutOfMemory(WorkerError):
    """Memory ran out, the accelerator's or the machine's."""

    code = 4


class Cancelled(WorkerError):
    """The host asked to stop; let it pass."""

    code = 6


def described(error):
    """Number and sentence of any exception."""
    if isinstance(error, WorkerError):
        return error.code, str(error)
    name, text = type(error).__name__, str(error)
    code = OutOfMemory.code if isinstance(error, MemoryError) or name == "OutOfMemoryError" else WorkerError.code
    return code, f"{name}: {text}" if text else name


def of_code(code, message):
    """The exception of a number."""
    kinds = [Unsupported, ConfigError, InputError, OutOfMemory, Cancelled]
    return next((kind for kind in kinds if kind.code == code), WorkerError)(message)
