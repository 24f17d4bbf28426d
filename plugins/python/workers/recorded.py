"""What a package's own `generate` is given and gives back, where the package hands on no more than a text."""

from medvlm_worker import Answer


class Recorded:
    """Stands in the place of `owner.generate`, lets it do its work, and keeps the answer's tokens.

    `owner` is a language model of transformers that is given `inputs_embeds`, one row. `settings` take the place of those
    that the package passes; one that is None is taken away.
    """

    def __init__(self, owner):
        self.generate, owner.generate = owner.generate, self
        self.settings, self.given, self.out = {}, {}, None

    def __call__(self, *arguments, **settings):
        kept = {name: value for name, value in settings.items() if name not in self.settings}
        changed = {name: value for name, value in self.settings.items() if value is not None}
        self.given = {**kept, **changed, "return_dict_in_generate": True, "output_scores": True}
        self.out = self.generate(*arguments, **self.given)
        return self.out.sequences

    def first_logits(self):
        """Of the first token; greedy decoding leaves scores what the logits were."""
        return self.out.scores[0]

    def answer(self, text, budget, ends, stops):
        """An answer whose text is cut at the host's stop strings. `ends` are sequences of tokens that end one.

        The ids of the prompt are left out: it is embedded in pieces, and an image in it has no ids.
        """
        # Early versions of transformers put a start token, which was not generated, before the answer.
        ids = self.out.sequences[0].tolist()[-len(self.out.scores) :]
        ended = any(ids[-len(end) :] == list(end) for end in ends)
        finish = "length" if len(ids) >= budget and not ended else "stop"
        for stop in stops:
            if stop in text:
                text, finish = text[: text.index(stop)].strip(), "stop"
        return Answer(text, finish, self.given["inputs_embeds"].shape[1], len(ids), generated_ids=ids)
