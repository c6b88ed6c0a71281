"""A tiny Llama that takes no images: the tokenizer and the chat template of the shapes model.

Its weights are random, so that it says nothing of any sense, but it says it as any model does.

    python -m tests.shapes.blind FOLDER
"""

import shutil
import sys
from pathlib import Path

SHAPES = Path(__file__).parents[2] / "examples/shapes/model"
SHARED = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def make(folder: Path) -> None:
    """Write a model folder that vLLM loads."""
    import torch  # noqa: PLC0415 - slow to import
    from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415 - likewise

    torch.manual_seed(1)
    seeing = AutoConfig.from_pretrained(SHAPES)
    ids = {name: getattr(seeing, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = seeing.text_config
    config = LlamaConfig(
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        num_hidden_layers=1,
        num_attention_heads=text.num_attention_heads,
        num_key_value_heads=text.num_key_value_heads,
        vocab_size=text.vocab_size,
        max_position_embeddings=text.max_position_embeddings,
        **ids,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    for name in SHARED:
        shutil.copyfile(SHAPES / name, folder / name)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
