"""A model without torch or numpy that answers from its pixels, and misbehaves on request.

Options: `behave` (see `Model.misbehave`), `shift` (how far `inspect` is off), `poison` (misbehave for images whose first pixel has this red value, or prompts
that contain this text), `once` (a file that is made at the first misbehaviour, after which the model behaves) and `trail`
(a file that receives the number of each process that is started).
"""

import os
import subprocess
import sys
import time

from medvlm_worker import Answer, InputError, OutOfMemory


class Model:
    def __init__(self, open_):
        self.behave = open_.option("behave", "well")
        self.poison, self.once = open_.option("poison"), open_.option("once", "")
        if trail := open_.option("trail", ""):
            with open(trail, "a") as file:
                print(os.getpid(), file=file)
            self.trail = trail
        self.shift = open_.option("shift", 0.0)
        if self.behave == "refuse":
            raise InputError("this model does not open")
        if self.behave == "exit-early":
            print("last words")
            sys.exit(3)

    def describe(self):
        return {"feature_dim": 2, "parameters": 7}

    def encode_classes(self, prompts):
        return [[float(len(prompts[0])), float(sum(len(p) for p in one))] for one in prompts]

    def zero_shot(self, images, classes):
        kind = self.misbehave(any(image.rgb[0] == self.poison for image in images))
        rows = [[bright(image) * weight for _, weight in classes.encoded] for image in images]
        return rows[1:] if kind == "wrong-rows" else [row[1:] for row in rows] if kind == "wrong-columns" else rows

    def features(self, images):
        return [[bright(image), image.width / image.height] for image in images]

    def generate(self, requests, decoding):
        for request in reversed(requests):
            kind = self.misbehave(isinstance(self.poison, str) and self.poison in request.prompt)
            if kind != "silent":
                text = "yes" if request.images[0].rgb[0] % 3 == 0 else "no"
                error = "no answer to this" if kind == "one-error" else None
                yield Answer(text, "stop", len(request.prompt), 1, error=error, request=request)

    def choose(self, requests):
        return [[-float(len(option)) for option in request.options] for request in requests]

    def embed_text(self, texts):
        return [[[float(len(word)), 1.0] for word in text.split()] for text in texts]

    def inspect(self, request, images):
        features = [[value + self.shift for value in row] for row in self.features(images)]
        seen = {"image_features": features, "sizes": [[image.height, image.width] for image in images]}
        if request.prompt:
            ids = list(request.prompt.encode())
            seen["generation"] = Answer("yes", prompt_ids=ids, generated_ids=[7, 8 if self.shift else 9])
        return seen

    def misbehave(self, poisoned):
        if not poisoned or self.once and os.path.exists(self.once):
            return "well"
        if self.once:
            open(self.once, "w").close()
        if self.behave == "raise":
            raise ValueError("as the row says")
        if self.behave == "typed":
            raise InputError("this sample is poisonous")
        if self.behave == "memory":
            raise OutOfMemory("nothing is left")
        if self.behave == "exit":
            os._exit(4)
        if self.behave == "abort":
            os.abort()
        if self.behave == "hang":
            # A child of the child, which must not outlive the worker either.
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            with open(self.trail, "a") as file:
                print(child.pid, file=file)
            while True:
                time.sleep(1)
        if self.behave == "garbage":
            os.write(1, bytes(range(256)) * 500)
            print("\nno frame, but a line", flush=True)
            sys.stdout.buffer.write(b"\x02\x00\x00\x00" * 4)
            sys.stdout.flush()
            assert sys.stdin.read() == "", "the frames are not readable"
            # The worker may be ended right after the last answer, before the log has everything.
            time.sleep(0.3)
        return self.behave


def bright(image):
    return sum(image.rgb) / len(image.rgb) / 255
