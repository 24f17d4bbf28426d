"""Writes tests/parity/chat.json: chat templates, and what transformers 4.53.1 makes of conversations with them.

The argument is a folder with the published tokenizers gemma3, llama3 and qwen2.5, of which the templates are taken.

    python tests/parity/chat.py TOKENIZERS
"""

import datetime
import json
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = Path(__file__).parent
# After the template of llava-hf/llava-1.5-7b-hf, not copied from its file.
LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# After the conversation `vicuna_v1.1` of FastChat; Vicuna publishes no template.
VICUNA = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'].strip() + ' ' %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = 'A chat between a curious user and an artificial intelligence assistant. The assistant "
    "gives helpful, detailed, and polite answers to the user\\'s questions. ' %}{% endif %}"
    "{{ bos_token + system_message }}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'].strip() + ' ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' + message['content'].strip() + eos_token }}{% endif %}"
    "{% if loop.last and message['role'] == 'user' and add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}{% endfor %}"
)
# After the template of mistralai/Mistral-7B-Instruct-v0.2, not copied from its file.
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
# What other published templates use of Jinja and Python.
LANGUAGE = """{{- bos_token }}
{%- set ns = namespace(count=0, last=none) %}
Today: {{ strftime_now("%d %b %Y") }}, {{ strftime_now('%A %-d %B %y, %H:%M:%S, day %j (%m) 100%%') }}
{% for message in messages %}
    {% if message.role == 'system' %}
        {% continue %}
    {% endif %}
    {% set ns.count = ns.count + 1 %}
    {%- generation -%}
      {{ loop.index ~ '/' ~ loop.length }}: {{ message.role | capitalize }}
    {%- endgeneration %}
    {% if message.content is string and message['content'].startswith('stop') %}
        {%- break %}
    {% elif message.content is not string and message.content is iterable %}
        {%- for part in message.content %}
            {{- part | tojson }} {{ part.get('text', '-') }}
        {%- endfor %}
    {% else %}
        {{- message.content.split('.')[-1].lstrip() | tojson }}, {{ message.role.title() }}
        {%- if 'A' in message.content or message.tool_calls is defined %} (A){% endif %}
    {% endif %}
{% endfor %}
{{ ns.count }} {{ ns.last }} {{ ns.count > 1 }} {{ tools }} {{ missing }}
{% macro wrap(text, mark='*') %}{{ mark }}{{ text }}{{ mark }}{% endmacro %}
{{ wrap('a') }}{{ wrap('b', mark="<") }} {{ {"b": [1, 2.5, none, true], "c": "é\\n<'\\""}.items() | list | length }}
{% for key, value in {"a": [1, 2.5, none, true], "b": "é\\n<&'\\""}.items() %}
{{ key }}={{ value | tojson }}
{{ value | tojson(indent=2) }}
{% endfor %}
{{ messages[-1].role if messages else 'none' }}{{ messages | map(attribute='role') | join(',') }}{{ '\\n' }}
"""


def main(published):
    read = lambda name: json.loads((Path(published) / name / "tokenizer_config.json").read_text())["chat_template"]
    texts, parts = list(range(4)), list(range(4, 6))
    templates = {
        "llama-3": (read("llama3"), "<|begin_of_text|>", "<|eot_id|>", texts),
        "qwen2.5": (read("qwen2.5"), "", "<|im_end|>", texts),
        "gemma-3": (read("gemma3"), "<bos>", "<end_of_turn>", texts + parts),
        "llava-1.5-hf": (LLAVA, "<s>", "</s>", parts),
        "vicuna": (VICUNA, "<s>", "</s>", texts),
        "mistral-instruct": (MISTRAL, "<s>", "</s>", texts),
        "language": (LANGUAGE, "<s>", "</s>", texts + parts),
    }
    lines = [
        json.dumps({"name": name, "source": source, "bos": bos, "eos": eos, "takes_parts": takes[-1] > 3,
                    "renders": [render(source, bos, eos, i, again) for i in takes for again in [False, True]]})
        for name, (source, bos, eos, takes) in templates.items()
    ]
    conversations = json.dumps(CONVERSATIONS)
    (HERE / "chat.json").write_text(f'{{"conversations": {conversations}, "templates": [\n' + ",\n".join(lines) + "\n]}\n")


def turn(role, content):
    return {"role": role, "content": content}


def text(content):
    return {"type": "text", "text": content}


IMAGE = {"type": "image"}
CONVERSATIONS = [
    [turn("user", "  Is there a nodule? Answer <b>yes</b> or no.\n")],
    [turn("system", "Be brief. "), turn("user", "Where is it?")],
    [turn("user", "Name it."), turn("assistant", " A cyst. "), turn("user", "stop. Sure?"), turn("user", "twice")],
    [turn("user", "Name it."), turn("assistant", "A cyst's edge.\n\n"), turn("user", "\u00dcber 5\u00b0? \"q\" \U0001f600")],
    [turn("user", [IMAGE, text("What is shown? ")])],
    [turn("user", [text("First: "), IMAGE, text("Second: "), IMAGE]), turn("assistant", [text("Two lungs.")]),
     turn("user", [text("Which is ill?")])],
]


def render(source, bos, eos, number, generation):
    """The conversation's number, whether an answer is prompted for, and the text; none where the template refuses."""
    from tokenizers import Tokenizer, models

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos, eos_token=eos)
    try:
        rendered = tokenizer.apply_chat_template(
            CONVERSATIONS[number], chat_template=source, tokenize=False, add_generation_prompt=generation
        )
    except Exception as error:
        print(number, generation, repr(error))
        rendered = None
    return [number, generation, rendered]


class Fixed(datetime.datetime):
    """The date that the implementation takes for today."""

    @classmethod
    def now(cls):
        return cls(2024, 7, 26)


if __name__ == "__main__":
    chat_template_utils.datetime = Fixed
    main(sys.argv[1])
