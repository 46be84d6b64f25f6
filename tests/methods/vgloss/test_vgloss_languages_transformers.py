"""Causal language models on this machine: tiny random ones, and the real small one of its package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from visus.errors import InputError, MissingExtra  # noqa: E402
from visus.methods.vgloss.model.languages import TransformersLM, open_language  # noqa: E402
from visus.methods.vgloss.model.languages.transformers import _Draw  # noqa: E402

PROMPTS = ["a crane is", "x", "Name: heron of the long grey marshes\nIn a photo:", "crane crane", "the owl\n"]
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
TEXT = "Name: crane heron owl of the long grey marshes\nIn a photo: a bird is in the sky with wings <user> <assistant>"


def save_tokenizer(folder: Path, template: str | None = None) -> None:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([TEXT] * 3, trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")
    if template:
        fast.chat_template = template
    fast.save_pretrained(folder)


def save_model(folder: Path, kind: str = "llama", seed: int = 0, template: str | None = None) -> Path:
    torch.manual_seed(seed)
    if kind == "llama":
        config = transformers.LlamaConfig(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            initializer_range=0.6,
            eos_token_id=0,
        )
        model = transformers.LlamaForCausalLM(config)
    else:
        config = transformers.GPT2Config(
            vocab_size=300,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=128,
            initializer_range=0.6,
            eos_token_id=0,
        )
        model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    save_tokenizer(folder, template)
    return folder


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def folder(request, tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def lm(folder) -> TransformersLM:
    return TransformersLM(folder, batch_size=3)


def slow_greedy(lm: TransformersLM, prompt: str, count: int) -> str:
    """Without batch, padding and cache: the whole text anew for every token."""
    tokens = lm.tokenizer(prompt)["input_ids"]
    start = len(tokens)
    for _ in range(count):
        with torch.no_grad():
            token = int(lm.model(torch.tensor([tokens])).logits[0, -1].argmax())
        if token == lm.tokenizer.eos_token_id:
            break
        tokens = [*tokens, token]
    return lm.tokenizer.decode(tokens[start:], skip_special_tokens=True)


def test_greedy_equals_the_slow_loop_in_a_padded_batch(lm):
    texts = lm.generate(PROMPTS, n=4, max_new_tokens=12, stop=())
    assert [len(each) for each in texts] == [1] * len(PROMPTS)
    for prompt, (text,) in zip(PROMPTS, texts, strict=True):
        assert text == slow_greedy(lm, prompt, 12).strip()
    assert texts == lm.generate(PROMPTS, max_new_tokens=12, stop=())


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_text_does_not_depend_on_its_batch_mates(lm, temperature):
    options = {"n": 3, "temperature": temperature, "max_new_tokens": 8, "stop": ()}
    together = lm.generate(PROMPTS, **options)
    assert together == [lm.generate([prompt], **options)[0] for prompt in PROMPTS]
    assert together[::-1] == lm.generate(PROMPTS[::-1], **options)


def test_seed_decides_what_is_drawn(lm):
    options = {"n": 6, "temperature": 1.0, "max_new_tokens": 8, "stop": ()}
    first = lm.generate(PROMPTS[:1], seed=3, **options)
    assert first == lm.generate(PROMPTS[:1], seed=3, **options)
    assert first != lm.generate(PROMPTS[:1], seed=4, **options)
    assert len(set(first[0])) > 1
    fewer = lm.generate(PROMPTS[:1], seed=3, **{**options, "n": 2})
    assert fewer[0] == first[0][:2]


def test_a_tiny_nucleus_is_greedy(lm):
    greedy = lm.generate(PROMPTS, max_new_tokens=6, stop=())
    drawn = lm.generate(PROMPTS, n=1, temperature=1.0, top_p=1e-6, max_new_tokens=6, stop=())
    assert drawn == greedy


def test_stop_strings_and_limits_end_a_text(lm):
    whole = lm.generate(["crane crane"], max_new_tokens=20, stop=())[0][0]
    mark = whole[len(whole) // 2]
    cut = lm.generate(["crane crane"], max_new_tokens=20, stop=(mark,))[0][0]
    assert cut == whole[: whole.index(mark)].strip()
    for limit in (1, 5):
        text = lm.generate(["crane crane"], max_new_tokens=limit, stop=())[0][0]
        assert whole.startswith(text)
        prompt = lm.tokenizer("crane crane")["input_ids"]
        assert len(lm._continued([prompt], _Draw([0], temperature=0, top_p=1), limit, ())[0]) == limit


def test_end_token_ends_a_text(folder):
    lm = TransformersLM(folder)
    tokens = lm._continued(
        [lm.tokenizer("a crane is")["input_ids"]], _Draw([0], temperature=0, top_p=1), 9, ()
    )[0]
    lm._ends = frozenset({tokens[3]})
    again = lm._continued(
        [lm.tokenizer("a crane is")["input_ids"]], _Draw([0], temperature=0, top_p=1), 9, ()
    )[0]
    assert again == tokens[: tokens.index(tokens[3])]


def test_draws_follow_the_softmax_within_the_nucleus():
    logits = torch.log(torch.tensor([[0.1, 0.5, 0.3, 0.1]]))
    rows = logits.repeat(4000, 1)
    seeds = range(4000)
    drawn = _Draw(list(seeds), temperature=1.0, top_p=1.0)(rows)
    share = torch.bincount(drawn, minlength=4) / 4000
    torch.testing.assert_close(share, torch.tensor([0.1, 0.5, 0.3, 0.1]), atol=0.03, rtol=0)
    nucleus = _Draw(list(seeds), temperature=1.0, top_p=0.7)(rows)
    share = torch.bincount(nucleus, minlength=4) / 4000
    torch.testing.assert_close(share, torch.tensor([0, 0.625, 0.375, 0]), atol=0.03, rtol=0)
    hot = torch.bincount(_Draw(list(seeds), temperature=2.0, top_p=1.0)(rows), minlength=4) / 4000
    expected = torch.softmax(logits[0] / 2, 0)
    torch.testing.assert_close(hot, expected, atol=0.03, rtol=0)


def test_chat_template_wraps_the_prompt_and_the_cue_begins_the_answer(tmp_path):
    lm = TransformersLM(save_model(tmp_path, template=TEMPLATE))
    assert lm.identity.endswith(":chat")
    shown = lm.tokenizer.decode(lm._tokens("Name: crane\nIn a photo:", 5))
    assert shown == "<user>Name: crane<assistant>In a photo:"
    assert lm.tokenizer.decode(lm._tokens("a crane", 5)) == "<user>a crane<assistant>"
    plain = TransformersLM(tmp_path, chat=False)
    assert plain.identity == lm.identity.removesuffix(":chat")
    assert plain.generate(["a crane"], max_new_tokens=6) != lm.generate(["a crane"], max_new_tokens=6)


def test_identity_follows_weights_and_tokenizer(tmp_path):
    one = TransformersLM(save_model(tmp_path / "m", seed=0)).identity
    assert TransformersLM(tmp_path / "m").identity == one
    other = TransformersLM(save_model(tmp_path / "m", seed=1)).identity
    assert other != one
    settings = json.loads((tmp_path / "m" / "tokenizer_config.json").read_text())
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps({**settings, "extra": 1}))
    assert TransformersLM(tmp_path / "m").identity not in (one, other)


def test_what_cannot_be_used_is_named(tmp_path, folder):
    with pytest.raises(InputError, match="does not exist"):
        TransformersLM(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no language model"):
        TransformersLM(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="not a GGUF file"):
        TransformersLM(tmp_path / "a.txt")
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"several GGUF files \(a.gguf, b.gguf\)"):
        TransformersLM(tmp_path)
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"broken: cannot be read"):
        TransformersLM(tmp_path / "broken")
    with pytest.raises(InputError, match="no chat template"):
        TransformersLM(folder, chat=True)
    with pytest.raises(InputError, match="batch_size"):
        TransformersLM(folder, batch_size=0)


def test_hub_ids_are_not_downloaded_offline(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(*args, **kwargs):
        raise hub.errors.OfflineModeIsEnabled("offline")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(InputError, match=r"nobody/nothing: is neither a folder .*OfflineModeIsEnabled"):
        TransformersLM("nobody/nothing")


def test_prompts_that_do_not_fit_are_refused(lm):
    with pytest.raises(InputError, match="no room for 50 more"):
        lm.generate(["crane " * 200])
    with pytest.raises(InputError, match="prompt: is empty"):
        lm.generate([""])
    with pytest.raises(InputError, match="top_p"):
        lm.generate(["a"], top_p=0)
    assert lm.generate([]) == []


@pytest.fixture(scope="module")
def smollm2() -> TransformersLM:
    pytest.importorskip("gguf")
    try:
        made = open_language("smollm2")
    except MissingExtra as error:
        pytest.skip(str(error))
    assert isinstance(made, TransformersLM)
    return made


@pytest.mark.slow
def test_real_gguf_model_is_deterministic_stops_and_stays_short(smollm2):
    prompt = "Name: heron\nMeaning: grey wading bird with long neck and long legs\nIn a photo:"
    texts = smollm2.generate([prompt, "Name: red fox\nIn a photo:"], max_new_tokens=8)
    assert texts == smollm2.generate([prompt, "Name: red fox\nIn a photo:"], max_new_tokens=8)
    assert texts[0] == smollm2.generate([prompt], max_new_tokens=8)[0]
    for (text,) in texts:
        assert text
        assert "\n" not in text
        assert smollm2.count_tokens(text) <= 8
    assert smollm2.identity.endswith(":chat")
    assert "SmolLM2" in smollm2.identity
