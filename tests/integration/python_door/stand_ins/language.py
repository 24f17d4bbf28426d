"""A language model with the `generate` of transformers, as far as a greedy one with embedded inputs goes."""

from types import SimpleNamespace

from record import record
from torch import Tensor


class Language:
    #: What it answers: three tokens, of which the last ends a text.
    TOKENS = [7, 8, 2]

    def __init__(self, start=()):
        self.generation_config = SimpleNamespace(eos_token_id=2)
        #: What early versions of transformers put before an answer.
        self.start = list(start)

    def generate(self, inputs_embeds, generation_config=None, stopping_criteria=None, **settings):
        settings = {**vars(generation_config or SimpleNamespace()), **settings}
        kept = {name: value for name, value in settings.items() if not name.startswith("_")}
        record("language", length=inputs_embeds.shape[1], stopping=len(stopping_criteria or []), **kept)
        ids = self.TOKENS[: settings["max_new_tokens"]]
        rows = Tensor([self.start + ids])
        if not settings.get("return_dict_in_generate"):
            return rows
        scores = [Tensor([[0.5, float(token)]]) for token in ids]
        return SimpleNamespace(sequences=rows, scores=scores if settings.get("output_scores") else None)


class Tokenizer:
    def decode(self, ids, **_):
        names = {7: "a", 8: "finding"}
        return " ".join(names[token] for token in ids if token in names)

    def batch_decode(self, rows, skip_special_tokens):
        assert skip_special_tokens
        return [self.decode(row) for row in rows]
