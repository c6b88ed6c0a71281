"""The untrained shapes model: its architecture, tokenizer, image processor and chat template.

Idefics3, because vLLM and transformers both know it and it needs nothing beyond Pillow to read an
image; made so small that a laptop trains it and a CPU serves it.
"""

import itertools

import torch
from draw import COLOURS, SHAPES, SIZES, sentence
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

SIDE = 64  # pixels, as the vision tower sees an image
PATCH = 8
MERGE = 2  # patches each way that make one image token
IMAGE_TOKENS = (SIDE // PATCH // MERGE) ** 2
WIDTH = 128
LAYERS = 3
CONTEXT = 1024  # tokens

BEGIN, END, PAD = "<|im_start|>", "<end_of_utterance>", "<|pad|>"
SPECIAL = (PAD, BEGIN, END, "<fake_token_around_image>", "<image>", "<global-img>")

PROMPT = "Describe the image."
PROMPTS = (
    "Describe this image.",
    "Describe the image in one sentence.",
    "Describe this image in detail.",
    "Write a caption for this image.",
    "Caption this image.",
    "What is shown in this image?",
    "What do you see?",
    "Write a detailed description of the picture, with its colours and shapes.",
    "Please provide a brief caption of the image.",
)

CHAT_TEMPLATE = """\
<|im_start|>
{%- for message in messages -%}
{{- message['role'] | capitalize + ':' -}}
{%- if message['content'] is string -%}
{{- ' ' + message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'text' -%}
{{- ' ' + part['text'] -}}
{%- else -%}
{{- '<image>' -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<end_of_utterance>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- 'Assistant:' -}}
{%- endif -%}
"""


def captions() -> list[str]:
    """Give every caption there can be."""
    return [
        sentence(size, colour, shape, ground)
        for size, shape in itertools.product(SIZES, SHAPES)
        for colour, ground in itertools.permutations(COLOURS, 2)
    ]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE in which each word of a caption is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        min_frequency=2,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [*captions(), *(f"User: {prompt}\nAssistant:" for prompt in (PROMPT, *PROMPTS) * 2)]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_processor() -> Idefics3Processor:
    """Join the tokenizer, the image processor and the chat template."""
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        do_image_splitting=False,
    )
    return Idefics3Processor(
        image_processor=images,
        tokenizer=build_tokenizer(),
        image_seq_len=IMAGE_TOKENS,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """Make the model with random weights; what to generate with goes along."""
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    shape = {
        "hidden_size": WIDTH,
        "initializer_range": 0.06,  # the usual 0.02 learns far slower at this width
        "num_hidden_layers": LAYERS,
        "num_attention_heads": WIDTH // 32,
    }
    config = Idefics3Config(
        vision_config={
            **shape,
            "intermediate_size": 3 * WIDTH,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        text_config={
            **shape,
            **ids,
            "model_type": "llama",
            "intermediate_size": 2 * WIDTH,
            "num_key_value_heads": WIDTH // 32,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": CONTEXT,
            "tie_word_embeddings": True,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=MERGE,
        tie_word_embeddings=True,
        **ids,
    )
    model = Idefics3ForConditionalGeneration(config).to(torch.float32)
    model.generation_config = GenerationConfig(max_new_tokens=32, do_sample=False, **ids)
    return model
