"""The model: its language model is given vectors, four an image, as the real one does."""

from types import SimpleNamespace

from language import Language, Tokenizer
from record import record
from torch import Tensor

from llava import conversation, mm_utils


class GenerationConfig(SimpleNamespace):
    def update(self, **settings):
        vars(self).update(settings)


class Tower:
    def register_forward_pre_hook(self, hook):
        self.hook = hook

    def __call__(self, pixels):
        self.hook(self, (pixels,))
        return [[0.0]] * 4


class Vila:
    def __init__(self):
        self.llm, self.tower, self.tokenizer = Language(), Tower(), Tokenizer()
        self.config, self.device = "the model's configuration", "the model's device"
        # Checkpoints often bring settings of a sampler.
        self.default_generation_config = GenerationConfig(do_sample=True, temperature=0.2, top_p=0.7, eos_token_id=[2])

    def parameters(self):
        return [SimpleNamespace(numel=lambda: 11)]

    def get_vision_tower(self):
        return self.tower

    def generate_content(self, prompt, generation_config=None):
        images = [part for part in prompt if not isinstance(part, str)]
        text = "".join(part if isinstance(part, str) else "<image>" for part in prompt)
        for image in images:
            record("image", size=image.size, rgb=image.tobytes().hex())
        template = conversation.default_conversation.copy()
        template.append_message(template.roles[0], text)
        template.append_message(template.roles[1], None)
        ids = mm_utils.tokenizer_image_token(template.get_prompt(), self.tokenizer, return_tensors="pt")
        pixels = mm_utils.process_images(images, "the processor", self.config) if images else None
        out = self.generate(ids.unsqueeze(0), images=pixels and [pixels], generation_config=generation_config)
        return self.tokenizer.decode(out[0]).strip()

    def generate(self, input_ids=None, images=None, attention_mask=None, **generation_kwargs):
        vectors = []
        if images:
            self.tower(images[0])
        for token in input_ids[0]:
            vectors += [[0.0]] * (4 if token == -200 else 1)
        return self.llm.generate(inputs_embeds=Tensor([vectors]), **generation_kwargs)
