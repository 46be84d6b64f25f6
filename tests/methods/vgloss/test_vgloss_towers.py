"""The small CLIP: its tokenizer, its folder in plain transformers, pictures as tensors and as files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from vgloss_towers import CAPTIONS, towers

from visus.data.features import open_encoder
from visus.errors import InputError
from visus.methods.vgloss.model.towers import (
    LARGEST_SCALE,
    embed_tokens,
    learn_merges,
    plain_tokenizer,
    scale_of,
    token_rows,
    vocabulary,
)


def test_another_process_learns_the_same_merges():
    """Hash maps are seeded per process: without fixed numbers for signs, ties would break another way."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from vgloss_towers import CAPTIONS\n"
        "from visus.methods.vgloss.model.towers import learn_merges\n"
        "print([learn_merges(CAPTIONS, most=60) for _ in range(3)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([learn_merges(CAPTIONS, most=60)] * 3)


def test_the_vocabulary_has_the_order_of_clip_and_knows_every_word():
    merges = learn_merges(CAPTIONS, most=60)
    numbers = vocabulary(merges)
    assert list(numbers.values()) == list(range(len(numbers)))
    assert len(numbers) == 512 + len({"".join(merge) for merge in merges}) + 2
    assert list(numbers)[-2:] == ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = plain_tokenizer(merges)
    assert tokenizer.tokenize("A  small BALL") == ["a</w>", "small</w>", "ball</w>"]
    for text in ("zquux", "Würfel 7", "两个球", "a\tb"):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert ids.index(tokenizer.eos_token_id) == len(ids) - 1, "an unknown sign would end the text early"
    assert len(learn_merges(CAPTIONS, most=5)) == 5


def test_rows_of_tokens_are_those_of_single_texts():
    encoder = towers()
    tokenizer = plain_tokenizer(encoder.merges)
    tokens, count = token_rows(
        tokenizer, [["a ball"], ["a red cube", "a", "the crane of a harbor"]], length=77
    )
    assert count.tolist() == [1, 3]
    assert tokens.shape[:2] == (2, 3)
    with torch.no_grad():
        rows = embed_tokens(encoder.model, tokens[1])
    torch.testing.assert_close(
        rows, torch.cat([encoder.texts([text]) for text in ("a red cube", "a", "the crane of a harbor")])
    )
    cut, _ = token_rows(tokenizer, [["a red cube and a ball"]], length=4)
    assert cut.shape == (1, 1, 4)
    assert cut[0, 0, -1] == tokenizer.eos_token_id


def test_the_exported_folder_is_an_ordinary_clip(tmp_path):
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    encoder, folder = towers(), tmp_path / "new" / "clip"
    encoder.export(folder)
    texts = ["a large red cube", "zquux"]
    model = CLIPModel.from_pretrained(folder).eval()
    made = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8))
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(picture, return_tensors="pt")
    with torch.no_grad():
        found = model(**made, **pixels)
    own = [
        torch.nn.functional.normalize(rows, dim=1)
        for rows in (encoder.texts(texts), encoder.images([picture]))
    ]
    torch.testing.assert_close(found.text_embeds, own[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.image_embeds, own[1], rtol=0, atol=1e-6)
    opened = open_encoder(folder)
    assert opened.identity == encoder.identity
    assert opened.logit_scale == pytest.approx(encoder.logit_scale)
    assert torch.equal(opened.texts(texts), encoder.texts(texts))
    with pytest.raises(InputError, match="there already"):
        encoder.export(folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["clip"]


def test_a_picture_as_tensor_and_as_file_is_the_same():
    encoder = towers()
    levels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image = torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(encoder.tensors(image), encoder.images([Image.fromarray(levels)]))


def test_the_scale_is_bounded():
    encoder = towers()
    with torch.no_grad():
        encoder.model.logit_scale.fill_(9.0)
    assert float(scale_of(encoder.model)) == LARGEST_SCALE
