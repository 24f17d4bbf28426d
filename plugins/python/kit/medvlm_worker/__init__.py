"""What a script needs to put a model behind medvlm. The README shows a whole one."""

from .errors import Cancelled, ConfigError, InputError, OutOfMemory, Unsupported, WorkerError
from .types import Answer, Classes, Decoding, Image, InspectRequest, Open, Request

__all__ = [
    "Answer",
    "Cancelled",
    "Classes",
    "ConfigError",
    "Decoding",
    "Image",
    "InputError",
    "InspectRequest",
    "Open",
    "OutOfMemory",
    "Request",
    "Unsupported",
    "WorkerError",
]
