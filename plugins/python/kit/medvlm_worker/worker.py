"""Serves one model: reads calls, asks the model, writes what it answers."""

import faulthandler
import importlib
import importlib.util
import json
import os
import socket
import sys
import traceback
from dataclasses import asdict

from . import arrays, frames
from .errors import ConfigError, Unsupported, WorkerError, described, of_code
from .types import Answer, Classes, Decoding, InspectRequest, Open, Request, images_of, known_fields

#: A method of the model for each capability of the contract.
CAPABILITIES = {
    "zero_shot": "zero-shot",
    "features": "features",
    "generate": "generate",
    "choose": "choose",
    "embed_text": "embed-text",
}


def main(arguments):
    """Opens the model of a script and answers calls until the host hangs up."""
    connection = _take_socket()
    faulthandler.enable()
    try:
        script, config = arguments
        worker = Worker(connection, load(script, Open(**json.loads(config))))
    except Exception as error:  # noqa: BLE001: whatever a script raises is told to the host
        _tell(connection, error)
        return
    frames.write(connection, frames.HELLO)
    worker.serve()


def load(script, options):
    """The model that a script defines, opened."""
    try:
        module = _module(script)
        model = getattr(module, "Model", None)
        if model is None:
            raise ConfigError(f"{script}: defines no class `Model`")
        opened = model(options)
    except ModuleNotFoundError as error:
        if error.name in (script, script.split(".")[0]):
            raise ConfigError(f"there is no module `{script}` in {sys.executable}: name a .py file, or install it") from error
        install = options.install or error.name
        message = f"module `{error.name}` is missing in {sys.executable}: run `{sys.executable} -m pip install {install}`"
        raise ConfigError(message) from error
    options.reject_unread()
    return opened


class Worker:
    """A model behind a socket."""

    def __init__(self, connection, model):
        self.connection, self.model = connection, model
        self.classes = Classes([])

    def serve(self):
        while True:
            frame = frames.read(self.connection)
            if frame is None:
                return
            try:
                header, values = self.answer(frame)
            except Exception as error:  # noqa: BLE001: an error costs its call, not the process
                _tell(self.connection, error)
            else:
                frames.write(self.connection, frames.REPLY, header=json.dumps(header), values=values)

    def answer(self, frame):
        """Header and arrays of the reply to a call."""
        perform = getattr(self, "on_" + frame.op.replace("-", "_"), None)
        if perform is None:
            raise Unsupported(f"this worker does not know `{frame.op}`")
        return perform(json.loads(frame.header) or {}, images_of(frame))

    def on_describe(self, _, __):
        told = dict(self.model.describe()) if hasattr(self.model, "describe") else {}
        known = {"parameters", "feature_dim", "image_size", "logit_scale"}
        if set(told) - known:
            raise ConfigError(f"`describe` returned {sorted(set(told) - known)}; it may return {sorted(known)}")
        told["capabilities"] = [name for method, name in CAPABILITIES.items() if getattr(self.model, method, None)]
        return told, []

    def on_classes(self, header, _):
        encoded = self._classes(header["classes"]).encoded
        return None, [arrays.matrix([] if encoded is None else encoded, "encode_classes")]

    def on_zero_shot(self, header, images):
        classes = self._classes(header["classes"])
        rows = self._method("zero_shot")(images, classes)
        return {}, [arrays.matrix(rows, "zero_shot", len(images), len(classes.prompts))]

    def on_features(self, _, images):
        return {}, [arrays.matrix(self._method("features")(images), "features", len(images))]

    def on_generate(self, header, images):
        requests = _requests(header, images)
        answers = self._method("generate")(requests, known_fields(Decoding, header.get("decoding", {})))
        waiting = list(requests)
        for answer in answers:
            answer = answer if isinstance(answer, Answer) else Answer(text=str(answer))
            request = answer.request or (waiting[0] if waiting else None)
            if request not in waiting:
                raise ValueError(f"`generate` gave more than {len(requests)} answers to as many requests")
            waiting.remove(request)
            self._send("finished", _generation(answer, request.index))
        if waiting:
            raise ValueError(f"`generate` left {len(waiting)} of {len(requests)} requests unanswered")
        return None, []

    def on_choose(self, header, images):
        requests = _requests(header, images)
        rows = [[float(value) for value in row] for row in self._method("choose")(requests)]
        wanted = [len(request.options) for request in requests]
        if [len(row) for row in rows] != wanted:
            raise ValueError(f"`choose` rated {[len(row) for row in rows]} options; expected {wanted}")
        return rows, []

    def on_embed_text(self, header, _):
        matrices = list(self._method("embed_text")(header["texts"]))
        if len(matrices) != len(header["texts"]):
            raise ValueError(f"`embed_text` returned {len(matrices)} matrices for {len(header['texts'])} texts")
        return None, [arrays.matrix(matrix, "embed_text") for matrix in matrices]

    def on_inspect(self, header, images):
        request = known_fields(InspectRequest, {"texts": [], "prompt": None, "raw": False, **header})
        request.decoding = known_fields(Decoding, header.get("decoding", {}))
        seen = dict(self._method("inspect")(request, images))
        answer = seen.pop("generation", None)
        generation = None if answer is None else _generation(answer, 0)
        return {"names": list(seen), "generation": generation}, [arrays.pack(value) for value in seen.values()]

    def _classes(self, prompts):
        if self.classes.prompts != prompts:
            encode = getattr(self.model, "encode_classes", None)
            self.classes = Classes(prompts, encode(prompts) if encode else None)
        return self.classes

    def _method(self, name):
        method = getattr(self.model, name, None)
        if method is None:
            raise Unsupported(f"this model does not support `{CAPABILITIES.get(name, name)}`")
        return method

    def _send(self, event, message):
        """Sends an event and waits for its answer; an error asks to stop."""
        frames.write(self.connection, frames.EVENT, event, json.dumps(message))
        answer = frames.read(self.connection)
        if answer is None:
            raise SystemExit("the host hung up")
        if answer.kind == frames.ERROR:
            raise of_code(int(answer.op or 100), answer.header)


def _take_socket():
    """The socket from standard input. From here on nothing that is printed or read by a script can reach it."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return connection


def _module(script):
    if not script.endswith(".py"):
        return importlib.import_module(script)
    sys.path.insert(0, os.path.dirname(script))
    spec = importlib.util.spec_from_file_location("medvlm_script", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _tell(connection, error):
    """Sends an error; the place where it was raised goes to the log and travels along."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if not isinstance(error, WorkerError) or error.__cause__ is not None:
        print(trace, file=sys.stderr, flush=True)
    code, message = described(error)
    frames.write(connection, frames.ERROR, str(code), message, body=trace.encode("utf-8", "replace"))


def _requests(header, images):
    def request(values):
        return known_fields(Request, {**values, "images": [images[at] for at in values["images"]]})

    return [request(values) for values in header["requests"]]


def _generation(answer, index):
    values = asdict(Answer(**{**answer.__dict__, "request": None}))
    del values["request"]
    return {**values, "index": index, "finish": "error" if answer.error else answer.finish}
