"""The model folder: small, complete, tidy, and loadable without a network."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

MODEL = Path(__file__).parents[2] / "examples" / "shapes" / "model"
FILES = sorted(path for path in MODEL.rglob("*") if path.is_file())


def _json(name: str) -> dict[str, Any]:
    return json.loads((MODEL / name).read_text())


def _weights() -> dict[str, Any]:
    """The header of the weights: name, type and shape of each tensor."""
    with (MODEL / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_folder_is_at_most_5_mb():
    assert sum(path.stat().st_size for path in FILES) <= 5_000_000


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix != ".safetensors"])
def test_text_files_name_no_path(path: Path):
    text = path.read_text()

    assert not re.search(r"/\w+/", text)


def test_weights_are_of_the_type_the_config_names():
    assert _json("config.json")["dtype"] == "bfloat16"
    assert {tensor["dtype"] for tensor in _weights().values()} == {"BF16"}


def test_generation_stops_at_the_end_of_an_utterance():
    tokens = {token["content"]: token["id"] for token in _json("tokenizer.json")["added_tokens"]}

    assert _json("generation_config.json")["eos_token_id"] == tokens["<end_of_utterance>"]
    assert _json("config.json")["eos_token_id"] == tokens["<end_of_utterance>"]


def test_image_tokens_match_what_the_vision_tower_makes():
    config = _json("config.json")
    side = config["vision_config"]["image_size"] // config["vision_config"]["patch_size"]

    assert _json("processor_config.json")["image_seq_len"] == (side // config["scale_factor"]) ** 2


def test_images_are_not_split():
    assert _json("processor_config.json")["image_processor"]["do_image_splitting"] is False


@pytest.mark.usefixtures("offline")
def test_config_loads():
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.from_pretrained(MODEL)

    assert config.architectures == ["Idefics3ForConditionalGeneration"]


@pytest.mark.usefixtures("offline")
def test_tokenizer_gives_back_what_it_took():
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    text = "a small red circle on an orange background. Ünïcode, too: 図形"

    assert tokenizer.decode(tokenizer(text).input_ids) == text


@pytest.mark.usefixtures("offline")
def test_each_word_of_a_caption_is_one_token():
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)

    assert len(tokenizer("a small red circle on a blue background.").input_ids) == 9


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"type": "image"}], "<image>"),
        ([{"type": "image"}, {"type": "text", "text": "Describe."}], "<image> Describe."),
        ([{"type": "text", "text": "Describe."}, {"type": "image"}], " Describe.<image>"),
        ("Hello.", " Hello."),
    ],
    ids=["image", "image first", "text first", "string"],
)
def test_chat_template_takes_plain_messages(content: Any, said: str):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )

    assert text == f"<|im_start|>User:{said}<end_of_utterance>\nAssistant:"
