from record import record
from torch import Tensor


class KeywordsStoppingCriteria:
    def __init__(self, keywords, tokenizer, input_ids):
        record("keywords", keywords=keywords)


def get_model_name_from_path(model_path):
    return model_path.strip("/").split("/")[-1]


def process_images(images, image_processor, model_cfg):
    record("process_images", processor=image_processor, config=model_cfg, sizes=[image.size for image in images])
    return Tensor([[byte / 255 for byte in image.tobytes()] for image in images])


def tokenizer_image_token(prompt, tokenizer, image_token_index=-200, return_tensors=None):
    assert return_tensors == "pt"
    record("tokenize", prompt=prompt, image_token=image_token_index)
    ids = []
    for at, part in enumerate(prompt.split("<image>")):
        ids += [image_token_index] * (at > 0) + list(part.encode())
    return Tensor(ids)
