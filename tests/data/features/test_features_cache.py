"""The cache on disk: killed processes, shared folders, damaged shards."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_encoders import Counting, save_pictures

from visus.data.features import FeatureCache, extract
from visus.errors import InputError

HERE = Path(__file__).parent
WORK = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from tiny_encoders import Counting
from visus.data.features import FeatureCache, extract
from visus.data.features import extraction
extraction.KEEP_SECONDS = 0.0
encoder = Counting(pause={pause})
paths = sorted(Path({pictures!r}).glob("*.png"))
print("ready", flush=True)
sys.stdin.readline()
made = extract(encoder, paths, cache=FeatureCache({cache!r}), batch_size=2)
print(encoder.seen, made.values.double().sum().item(), flush=True)
"""


def key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def start(folder: Path, *, pause: float) -> subprocess.Popen[str]:
    """A process that has imported everything and waits for a line."""
    code = WORK.format(here=str(HERE), pause=pause, pictures=str(folder / "in"), cache=str(folder / "cache"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], **pipes)


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("*/*.safetensors"))


def test_rows_come_back_bit_for_bit(tmp_path):
    cache, rows = FeatureCache(tmp_path), torch.randn(5, 7)
    keys = [key(str(i)) for i in range(5)]
    cache.put_many("one", dict(zip(keys[:3], rows)))
    cache.put_many("one", dict(zip(keys[3:], rows[3:])))
    for each in (cache, FeatureCache(tmp_path)):
        found = each.get_many("one", [keys[4], key("absent"), keys[0], keys[4]])
        assert list(found) == [keys[4], keys[0]]
        assert torch.equal(found[keys[4]], rows[4])
        assert each.get_many("two", keys) == {}
    assert (cache.stats.encoders, cache.stats.shards, cache.stats.items) == (1, 2, 5)
    assert (cache.stats.hits, cache.stats.misses) == (2, 6)
    assert cache.stats.bytes == sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    cache.put_many("one", {})
    assert cache.stats.shards == 2


def test_a_killed_process_loses_little_and_encodes_nothing_twice(tmp_path):
    paths = save_pictures(tmp_path / "in", 20)
    process = start(tmp_path, pause=0.15)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    limit = time.monotonic() + 60
    while len(shards(tmp_path)) < 3:
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = FeatureCache(tmp_path / "cache").stats.items
    assert 6 <= kept < 20
    encoder = Counting()
    made = extract(encoder, paths, cache=FeatureCache(tmp_path / "cache"))
    assert encoder.seen == 20 - kept
    assert torch.equal(made.values, extract(Counting(), paths).values)


def test_two_processes_share_a_folder(tmp_path):
    paths = save_pictures(tmp_path / "in", 12)
    processes = [start(tmp_path, pause=0.03) for _ in range(2)]
    told = []
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        told.append(process.communicate(timeout=60)[0].split())
        assert process.returncode == 0
    expected = extract(Counting(), paths).values
    assert [float(total) for _, total in told] == pytest.approx([expected.double().sum().item()] * 2)
    encoder = Counting()
    assert torch.equal(extract(encoder, paths, cache=FeatureCache(tmp_path / "cache")).values, expected)
    assert encoder.seen == 0


def test_what_another_has_written_meanwhile_is_found(tmp_path):
    one, other = FeatureCache(tmp_path), FeatureCache(tmp_path)
    assert one.get_many("e", [key("a")]) == {}
    other.put_many("e", {key("a"): torch.ones(2)})
    assert one.get_many("e", [key("a")])[key("a")].tolist() == [1, 1]


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_cut_shard_is_passed_over_and_its_items_are_encoded_again(tmp_path, keep):
    paths = save_pictures(tmp_path / "in", 6)
    first = extract(Counting(), paths[:4], cache=FeatureCache(tmp_path / "cache"))
    (shard,) = shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:keep])
    encoder = Counting()
    with pytest.warns(UserWarning, match=f"{shard.name}: passed over, because it cannot be read"):
        again = extract(encoder, paths, cache=FeatureCache(tmp_path / "cache"))
    assert encoder.seen == 6
    assert torch.equal(again.values[:4], first.values)
    assert shard.exists()  # nothing of anybody's is deleted


def test_a_shard_that_vanishes_is_missing(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    cache.put_many("e", {key("a"): torch.ones(2)})
    shards(tmp_path)[0].unlink()
    with pytest.warns(UserWarning, match="passed over"):
        assert cache.get_many("e", [key("a")]) == {}


def test_a_shard_of_another_encoder_does_not_count(tmp_path):
    folders = []
    for name in ("one", "two"):
        FeatureCache(tmp_path / name / "cache").put_many(name, {key("a"): torch.ones(2)})
        folders += [shards(tmp_path / name)[0].parent]
    folders[1].rename(folders[0].parent / "moved")
    strange = next((folders[0].parent / "moved").iterdir())
    strange.rename(folders[0] / "0.safetensors")
    cache = FeatureCache(tmp_path / "one" / "cache")
    with pytest.warns(UserWarning, match="belongs to another encoder"):
        found = cache.get_many("one", [key("a")])
    assert len(found) == 1


def test_a_shard_of_another_shape_does_not_count(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    cache.put_many("one", {key("a"): torch.ones(2)})
    odd = {"keys": torch.zeros(2, 32, dtype=torch.uint8), "values": torch.zeros(3, 4)}
    save_file(odd, shards(tmp_path)[0].with_name("0.safetensors"), {"identity": "one"})
    with pytest.warns(UserWarning, match=r"holds keys \[2, 32\] and values \[3, 4\]"):
        found = cache.get_many("one", [key("a"), "00" * 32])
    assert list(found) == [key("a")]


def test_wrong_folders_and_keys(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        FeatureCache(tmp_path / "file")
    with pytest.raises(InputError, match="are not SHA-256 digests"):
        FeatureCache(tmp_path).put_many("e", {"abcd": torch.ones(1)})
    assert not list(tmp_path.glob("*/*"))
