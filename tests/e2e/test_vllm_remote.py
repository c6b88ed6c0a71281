"""Someone elsewhere lends a GPU: the real vLLM over wss://, for images that are gone by then."""

import json
from typing import Any

import pytest
from msgspec import Struct

from tests.e2e.desk import Desk, Ended, wait_until
from tests.e2e.pictures import rows
from tests.e2e.shapes import LOADING, ONE_PROCESS, SHAPES, draw_shapes, means, right, variables
from tests.redis_server import free_port

__all__ = ["means"]
pytestmark = pytest.mark.vllm

IMAGES = 48
SEED = 771_204  # of images that no training has seen
TOKEN = "cf_the-token-that-ann-was-given"
DOCUMENT = """
orchestrator:
  job: shapes
  host: 127.0.0.1
  port: {port}
  cert: certs/cert.pem
  key: certs/key.pem
  dataset: {{dataset_path: images}}
  vllm:
    model: someone/shapes
    max_model_len: 512
    enforce_eager: true
    inference_prompts: ["Describe the image."]
    sampling: {{temperature: 0, max_tokens: 32}}
  storage: {{seconds_per_part: 2}}
  auth:
    worker_tokens: [{{name: ann, token: {token}}}]
"""


class Lent(Struct, frozen=True):
    """What came of it."""

    rows: list[dict[str, Any]]
    truth: dict[str, str]
    worker: Ended
    operator: Ended
    listed: Ended
    unsure: Ended  # a worker that was not given the certificate


def fed(desk: Desk) -> bool:
    """Whether all images wait in Redis."""
    told = desk.run("status", "--json", "--data-dir", desk.folder / "caption_data")
    return told.code == 0 and json.loads(told.out)["books"]["offered"] == IMAGES


@pytest.fixture(scope="module")
def lent(shared_desk: Desk) -> Lent:
    desk, port = shared_desk, free_port()
    truth = draw_shapes(desk.folder / "images", IMAGES, SEED)
    (desk.folder / "images" / "captions.json").unlink()
    made = desk.run(
        "generate_cert", "--self-signed", "--domain", "localhost", "--output-dir", "certs"
    )
    assert made.code == 0, made.words
    (desk.folder / "orchestrator.yaml").write_text(DOCUMENT.format(port=port, token=TOKEN))
    operator = desk.start("orchestrator", "--exit-when-done")
    wait_until(lambda: "Orchestrator ready for connections" in operator.out, "an open door", 60)
    wait_until(lambda: fed(desk), "images in Redis", 60)
    (desk.folder / "images").rename(desk.folder / "gone")

    home = desk.folder / "elsewhere"
    home.mkdir()
    server = ("worker", "--server", f"wss://localhost:{port}", "--exit-when-done")
    given = {"CAPTION_FLOW_TOKEN": TOKEN} | variables(
        {**ONE_PROCESS, "gpu_memory_utilization": "0.1"}
    )
    unsure = desk.start(*server, folder=home, environ=given).wait()
    how = ("--ca-cert", desk.folder / "certs" / "cert.pem", "--model", SHAPES / "model")
    worker = desk.start(*server, *how, folder=home, environ=given).wait(LOADING)
    ended = operator.wait(60)
    listed = desk.run("contributors", "list", "--json", "--data-dir", "caption_data")
    found = rows(desk.folder / "caption_data" / "shapes")
    return Lent(found, truth, worker, ended, listed, unsure)


def test_all_end_well(lent: Lent):
    assert lent.worker.code == 0, lent.worker.words
    assert lent.operator.code == 0, lent.operator.words


def test_images_that_nobody_else_can_read_are_captioned_truly(lent: Lent):
    assert len(lent.rows) == IMAGES
    assert right(lent.rows, lent.truth) >= 0.95


def test_rows_name_who_made_them(lent: Lent):
    assert {row["contributor"] for row in lent.rows} == {"ann"}
    assert all(row["worker"].startswith("ann/") for row in lent.rows)
    assert {row["engine"] for row in lent.rows} == {"vllm"}


def test_contributors_are_counted_as_the_rows_are(lent: Lent):
    ann = json.loads(lent.listed.out)

    assert (ann["name"], ann["captions"]) == ("ann", IMAGES)
    assert ann["output_tokens"] == sum(row["output_tokens"] for row in lent.rows)
    assert ann["seconds"] > 0
    assert 0 < ann["first_seen"] <= ann["last_seen"]


def test_certificate_that_is_not_known_is_not_believed(lent: Lent):
    assert lent.unsure.code == 2
    assert "--ca-cert" in lent.unsure.err
    assert TOKEN not in lent.unsure.words + lent.worker.words
