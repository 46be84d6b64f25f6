"""The cache of answers: what is in its key, and that it survives everything."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from vgloss_lexicon import Scripted

from visus.errors import InputError
from visus.methods.vgloss.model.languages import CachedLM
from visus.methods.vgloss.model.languages.cached import FILE

WRITER = """
import sys, time
from visus.methods.vgloss.model.languages import CachedLM

class Slow:
    identity = "slow"
    def generate(self, prompts, **settings):
        time.sleep(float(sys.argv[2]))
        return [[f"{prompt} by {sys.argv[3]}"] for prompt in prompts]

lm = CachedLM(Slow(), sys.argv[1], group=1)
print("ready", flush=True)
for i in range(int(sys.argv[4])):
    print(lm.generate([f"p{i}"])[0][0], flush=True)
"""


def numbered(prompt: str) -> list[str]:
    return [f"{prompt} {i}" for i in range(9)]


def start(folder, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(folder), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_second_call_asks_for_what_is_missing_only(tmp_path):
    lm = Scripted(numbered)
    cached = CachedLM(lm, tmp_path)
    assert cached.generate(["a", "b"], n=2) == [["a 0", "a 1"], ["b 0", "b 1"]]
    assert cached.generate(["c", "a", "c"], n=2) == [["c 0", "c 1"], ["a 0", "a 1"], ["c 0", "c 1"]]
    assert lm.asked == ["a", "b", "c"]
    assert (cached.hits, cached.misses) == (1, 3)
    assert CachedLM(lm, tmp_path).generate(["b"], n=2) == [["b 0", "b 1"]]
    assert lm.asked == ["a", "b", "c"]


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"top_p": 0.9},
        {"n": 2},
        {"max_new_tokens": 7},
        {"stop": ("\n\n",)},
        {"seed": 1},
    ],
)
def test_every_setting_is_part_of_the_key(tmp_path, change):
    lm = Scripted(numbered)
    cached = CachedLM(lm, tmp_path)
    cached.generate(["a"])
    cached.generate(["a"], **change)
    assert lm.asked == ["a", "a"]
    cached.generate(["a"], **change)
    assert lm.asked == ["a", "a"]


def test_another_model_has_other_answers(tmp_path):
    CachedLM(Scripted(numbered, "one"), tmp_path).generate(["a"])
    other = Scripted(lambda prompt: ["other"], "two")
    assert CachedLM(other, tmp_path).generate(["a"]) == [["other"]]


def test_equal_settings_of_other_types_are_equal(tmp_path):
    lm = Scripted(numbered)
    CachedLM(lm, tmp_path).generate(["a"], temperature=1, top_p=1, stop=["\n"])
    CachedLM(lm, tmp_path).generate(["a"], temperature=1.0, top_p=1.0, stop=("\n",))
    assert lm.asked == ["a"]


def test_identity_alone_replays_and_refuses_the_rest(tmp_path):
    CachedLM(Scripted(numbered), tmp_path).generate(["a"])
    replay = CachedLM("scripted", tmp_path)
    assert replay.generate(["a"]) == [["a 0"]]
    with pytest.raises(InputError, match=r"holds no answer of scripted to the prompt 'b'"):
        replay.generate(["a", "b"])


def test_answers_before_a_failure_are_kept(tmp_path):
    def failing(prompt: str) -> list[str]:
        if prompt == "p3":
            raise ConnectionError
        return [prompt]

    lm = Scripted(failing)
    cached = CachedLM(lm, tmp_path, group=1)
    with pytest.raises(ConnectionError):
        cached.generate([f"p{i}" for i in range(6)])
    assert (cached.hits, cached.misses) == (0, 3)  # what is told as kept is kept
    assert CachedLM("scripted", tmp_path).generate(["p0", "p1", "p2"]) == [["p0"], ["p1"], ["p2"]]


def test_unusable_places_are_named(tmp_path):
    (tmp_path / FILE).write_text("no database at all, but long enough to look at" * 40)
    with pytest.raises(InputError, match=rf"{FILE}.*cannot be used as a cache"):
        CachedLM(Scripted(numbered), tmp_path).generate(["a"])
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be used"):
        CachedLM(Scripted(numbered), tmp_path / "file" / "folder").generate(["a"])
    with pytest.raises(InputError, match="group"):
        CachedLM(Scripted(numbered), tmp_path, group=0)


@pytest.mark.slow
def test_two_processes_share_a_folder_and_one_may_be_killed(tmp_path):
    first, second = start(tmp_path, 0.05, "first", 10_000), start(tmp_path, 0.05, "second", 10_000)
    told: list[list[str]] = []
    for process in (first, second):
        assert process.stdout is not None
        told.append([process.stdout.readline().strip() for _ in range(9)])
    for process in (first, second):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert told[0] == told[1]
    kept = CachedLM("slow", tmp_path).generate([f"p{i}" for i in range(8)])
    assert [texts[0] for texts in kept] == told[0][1:]
    base = sqlite3.connect(tmp_path / FILE)
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    base.close()


def test_killed_in_the_middle_of_writing_nothing_is_half_written(tmp_path):
    cached = CachedLM(Scripted(numbered), tmp_path)
    cached.generate(["a"])
    with cached._open() as base:  # a transaction that no process ever finishes
        base.execute("BEGIN IMMEDIATE")
        base.execute("UPDATE answers SET texts = 'half'")
        shutil.copytree(tmp_path, tmp_path.with_name("crashed"))
        base.rollback()
    assert CachedLM("scripted", tmp_path.with_name("crashed")).generate(["a"]) == [["a 0"]]


def test_large_numbers_of_answers_are_quick(tmp_path):
    cached = CachedLM(Scripted(numbered), tmp_path, group=500)
    prompts = [f"p{i}" for i in range(1000)]
    start_time = time.process_time()
    first = cached.generate(prompts)
    assert cached.generate(prompts) == first
    assert time.process_time() - start_time < 2
