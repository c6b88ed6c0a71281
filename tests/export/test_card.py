"""A card says what is in the data set, and what strangers wrote stays text in it."""

from random import Random
from typing import Any

import pyarrow as pa
import pytest
import yaml
from datasets import Features, Image
from huggingface_hub import DatasetCard

from caption_flow.errors import ConfigError
from caption_flow.export.hub.card import card, merged
from caption_flow.export.hub.features import features
from caption_flow.export.hub.merging import BEGIN, END
from caption_flow.export.stats import Stats, Summary
from caption_flow.model import Credit
from feeders.huggingface.card import subsets
from tests.export.summaries import FACTS, SUMMARY, facts, summary
from tests.view.parts import SCHEMA, numbered

EVIL = "x](http://evil) | <script>\n# y `z` **b**"


def header(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def section(text: str, title: str) -> list[str]:
    return text.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0].strip().splitlines()


def test_header_says_what_the_hub_wants_to_know() -> None:
    found = header(card(SUMMARY, FACTS))

    assert found["license"] == "cc-by-4.0"
    assert found["size_categories"] == ["10K<n<100K"]
    assert "image-to-text" in found["task_categories"]
    assert "not-for-all-audiences" not in found["tags"]
    assert "not-for-all-audiences" in header(card(SUMMARY, facts(nsfw=True)))["tags"]


def test_hub_library_and_our_own_source_read_the_header() -> None:
    text = card(SUMMARY, FACTS)
    [only] = subsets(text.encode(), "README.md")

    assert DatasetCard(text).data.license == "cc-by-4.0"
    assert only.split("data/train-00000-of-00002.parquet") == "train"


@pytest.mark.parametrize(
    ("rows", "said"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**12, "n>1T")]
)
def test_size_category_fits_the_rows(rows: int, said: str) -> None:
    assert header(card(summary(rows=rows), FACTS))["size_categories"] == [said]


def test_features_are_those_that_datasets_finds() -> None:
    kinds = {
        "t": pa.time64("us"),
        "day": pa.date32(),
        "price": pa.decimal128(10, 2),
        "half": pa.float16(),
        "boxes": pa.list_(pa.list_(pa.float64())),
        "rgb": pa.list_(pa.int8(), 3),
        "words": pa.large_list(pa.string()),
        "kind": pa.dictionary(pa.int32(), pa.string()),
        "at": pa.struct([("x", pa.float32()), ("tags", pa.list_(pa.string()))]),
    }
    schema = pa.schema([*FACTS.schema, *kinds.items()])

    assert features(schema) == Features.from_arrow_schema(schema)._to_yaml_list()


def test_images_are_images() -> None:
    schema = Features({"image": Image()}).arrow_schema

    assert features(schema) == Features({"image": Image()})._to_yaml_list()


def test_types_that_the_hub_cannot_spell_are_left_to_it() -> None:
    schema = pa.schema([("m", pa.list_(pa.map_(pa.string(), pa.string())))])

    assert "dataset_info" not in header(card(SUMMARY, facts(schema=schema)))


def test_card_tells_how_it_was_made() -> None:
    text = card(SUMMARY, FACTS)

    assert "12,345 images" in text
    assert "2026-01-01 to 2026-01-03" in text
    assert "Describe the image.\n\nIn one sentence.\n```" in text
    assert any(
        "3f2a9c1d (12,000), 00ff00ff (345)" in line for line in section(text, "How it was made")
    )
    assert "temperature 0&#46;7" in text
    assert "cc-by-4&#46;0" in section(text, "Licence")[0]


def test_every_column_has_its_meaning() -> None:
    rows = section(card(SUMMARY, FACTS), "Columns")[2:]

    assert len(rows) == len(FACTS.schema)
    assert "| captions | list&#60;string&#62; | texts that" in " ".join(rows)


def test_contributors_have_their_shares_and_some_no_name() -> None:
    text = card(SUMMARY, FACTS)

    assert section(text, "Contributors")[2:] == [
        "| 1 | ann | 9,000 | 72.9 % |",
        "|  | &#40;anonymous&#58; 1&#41; | 345 | 2.8 % |",
        "|  | &#40;the operator&#39;s own&#41; | 3,000 | 24.3 % |",
    ]
    assert "bob" not in text


def test_the_operator_alone_is_no_contributor() -> None:
    assert "Contributors" not in card(summary(contributors={"": Credit(5)}), FACTS)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_facts_give_the_same_bytes(seed: int) -> None:
    """However rows came, and whatever order the settings were told in."""
    drawn = Random(seed)
    people = [f"person-{n}" for n in range(50)]
    rows = [row | {"model": f"model-{n % 7}"} for n, row in enumerate(numbered(0, 70))]
    plain = card(counted(rows), facts(anonymous=frozenset(people)))
    for some in (rows, people):
        drawn.shuffle(some)
    sampling = {"caption": dict(reversed(FACTS.sampling["caption"].items()))}

    again = facts(anonymous=frozenset(people), sampling=sampling)
    assert card(counted(rows), again) == plain


def counted(rows: list[dict[str, Any]]) -> Summary:
    found = Stats(("captions", "tags"))
    found.add(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return found.result()


def test_names_of_strangers_become_no_markdown() -> None:
    counts = {"models": {EVIL: 1}, "contributors": {EVIL: Credit(3)}, "outputs": {}}
    schema = pa.schema([(EVIL, pa.string())])
    evil = facts(schema=schema, sources=(EVIL,), pretty_name=EVIL, tags=(EVIL,))
    text = card(summary(**counts), evil)
    body = text.split("---\n", 2)[2]

    assert header(text)["pretty_name"] == EVIL
    assert header(text)["dataset_info"]["features"][0]["name"] == EVIL
    for sign in ("](", "<script", "**", "\n# y"):
        assert sign not in body


def test_prompts_stand_with_the_samples_that_were_made_with_them() -> None:
    told = section(card(SUMMARY, FACTS), "Prompts")
    about = "A row has the fingerprint of those of its last stage in its column `prompts`."
    other = "345 samples have none of these fingerprints: theirs were other prompts."

    assert told[0] == f"As the settings have them now. {about} {other}"
    assert "Fingerprint `3f2a9c1d`, of 12,000 samples." in told


def test_prompts_end_neither_their_frame_nor_our_part() -> None:
    prompt = f"Say:\n````\n{END}\n---\n# no title\x1b[2J"
    text = card(SUMMARY, facts(prompts={"caption": (prompt,)}))
    framed = text.split("`````text\n")[1].split("\n`````\n")[0]

    assert framed.splitlines()[1] == "````"
    assert text.count(END) == 1
    assert "\x1b" not in text


THEIRS = """---
# by hand
license: mit
tags: [pets, caption-flow]
annotations_creators: [ann]
configs:
- config_name: extra
  data_files: extra/*.csv
---
# My pets

Dear to me.
"""


def test_a_card_that_people_wrote_keeps_what_they_wrote() -> None:
    once = merged(card(SUMMARY, FACTS), THEIRS)
    twice = merged(card(summary(rows=7), FACTS), once + "\nBelow, too.\n")

    for text in (once, twice):
        found = header(text)
        assert "# My pets\n\nDear to me.\n" in text
        assert found["license"] == "cc-by-4.0"
        assert found["annotations_creators"] == ["ann"]
        assert found["tags"][0] == "pets"
        assert [one["config_name"] for one in found["configs"]] == ["default", "extra"]
        assert text.count(BEGIN) == 1
    assert twice.endswith("Below, too.\n")
    assert "Captions of 7 images" in twice
    assert "12,345 images" not in twice


def test_a_licence_that_we_do_not_know_stays_theirs() -> None:
    assert header(merged(card(SUMMARY, facts(license="")), THEIRS))["license"] == "mit"


def test_a_card_that_says_all_that_is_new_stays_as_it_is() -> None:
    ours = card(SUMMARY, FACTS)
    theirs = ours.replace("license:", "# mine\nlicense:") + "\nBelow.\n"

    assert merged(ours, ours) == ours
    assert merged(ours, theirs) == theirs
    assert merged(ours, merged(ours, THEIRS)) == merged(ours, THEIRS)


def test_a_header_of_others_stays_as_it_is_spelled() -> None:
    spelled = 'language: [no, "on"]', "version: 1.10", "on: 010", "since: 2024-01-01", "gated: yes"
    text = merged(card(SUMMARY, facts(languages=("en",))), "---\n" + "\n".join(spelled) + "\n---\n")

    assert text.startswith("---\nlanguage:\n- no\n- 'on'\n- en\nversion: 1.10\non: 010\n")
    assert "\nsince: 2024-01-01\ngated: yes\n" in text


def test_other_splits_of_the_config_stay() -> None:
    theirs = {
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": [
                    {"split": "train", "path": "data/train-*"},
                    {"split": "test", "path": "data/test-*"},
                ],
            }
        ]
    }
    text = merged(card(SUMMARY, FACTS), f"---\n{yaml.safe_dump(theirs)}---\n")

    assert header(text)["configs"] == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [
                {"split": "train", "path": "data/train-*.parquet"},
                {"split": "test", "path": "data/test-*"},
            ],
        }
    ]


@pytest.mark.parametrize("mark", [BEGIN, END])
@pytest.mark.parametrize("text", ["{mark}\nMine.\n", "Mine.\n{mark}\n"])
def test_a_lone_mark_ends_or_begins_nothing(mark: str, text: str) -> None:
    once = merged(card(SUMMARY, FACTS), f"{text.format(mark=mark)}Dear.\n")
    twice = merged(card(summary(rows=7), FACTS), once)

    assert "Mine.\nDear.\n" in twice
    assert (twice.count(BEGIN), twice.count(END)) == (1, 1)
    assert "12,345 images" not in twice


def test_a_lone_mark_before_our_block_is_not_its_beginning() -> None:
    ours = card(SUMMARY, FACTS)
    text = merged(ours, f"{BEGIN}\nMine.\n{ours.split('---', 2)[2]}")

    assert "\nMine.\n" in text
    assert (text.count(BEGIN), text.count(END)) == (1, 1)


@pytest.mark.parametrize("broken", ["a: [", "- a list"])
def test_a_header_that_cannot_be_read_is_not_thrown_away(broken: str) -> None:
    with pytest.raises(ConfigError, match="nothing was uploaded"):
        merged(card(SUMMARY, FACTS), f"---\n{broken}\n---\nText\n")
