"""Tar shards in WebDataset's layout."""

import gzip
import io
import tarfile

import numpy as np
import pytest

from visus.data.formats.shards import Shard, split_name, write_shard
from visus.errors import InputError

RNG = np.random.default_rng(0)


def samples(count=3):
    return [
        (
            f"{k:03d}",
            {"video.npy": RNG.integers(0, 256, (5, 4, 3, 3), dtype=np.uint8), "note.txt": b"n%d" % k},
        )
        for k in range(count)
    ]


def test_shards_round_trip_and_rows_are_read_alone(tmp_path):
    given = samples()
    assert write_shard(tmp_path / "a.tar", given) == 3
    shard = Shard(tmp_path / "a.tar")
    assert shard.keys == ["000", "001", "002"]
    for key, files in given:
        assert np.array_equal(shard.array_of(key, "video.npy"), files["video.npy"])
        assert np.array_equal(shard.array_of(key, "video.npy", 1, 3), files["video.npy"][1:3])
        assert shard.shape_of(key, "video.npy") == (5, 4, 3, 3)
        assert shard.bytes_of(key, "note.txt") == files["note.txt"]
    write_shard(tmp_path / "b.tar", given)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_shards_of_other_writers_are_read(tmp_path):
    array = np.asfortranarray(RNG.random((4, 3)))
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (("dir/7.Video.NPY", array), ("dir/7.json", b"{}"), ("dir/8.json", b"[]")):
            buffer = io.BytesIO()
            if isinstance(content, np.ndarray):
                np.save(buffer, content)
            else:
                buffer.write(content)
            entry = tarfile.TarInfo(name)
            entry.size = buffer.tell()
            buffer.seek(0)
            archive.addfile(entry, buffer)
        archive.addfile(tarfile.TarInfo("dir/.hidden"), io.BytesIO())
    shard = Shard(tmp_path / "a.tar")
    assert shard.keys == ["dir/7", "dir/8"]
    assert np.array_equal(shard.array_of("dir/7", "video.npy", 1, 3), array[1:3])
    with pytest.raises(InputError, match=r"sample dir/8: has no video.npy.*there are: json"):
        shard.array_of("dir/8", "video.npy")
    assert split_name("a.b/c") == ("a.b/c", "")


def test_a_shard_that_is_cut_off_is_refused_or_loses_its_last_sample(tmp_path):
    write_shard(tmp_path / "a.tar", samples())
    content = (tmp_path / "a.tar").read_bytes()
    ends = list(range(512, len(content), 512))
    for cut in (ends[5] + 7, ends[4], len(content.rstrip(b"\0")) + 3):
        (tmp_path / "b.tar").write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"b.tar: is (cut off|damaged).*skip"):
            Shard(tmp_path / "b.tar")
        shard = Shard(tmp_path / "b.tar", corrupt="skip")
        assert 0 < len(shard.keys) < 3
        assert len(shard.skipped) == 1
        for key in shard.keys:
            assert shard.array_of(key, "video.npy").shape == (5, 4, 3, 3)


def test_a_damaged_head_is_noticed(tmp_path):
    write_shard(tmp_path / "a.tar", samples())
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[content.index(b"002.video.npy")] = ord("9")  # its checksum no longer fits
    (tmp_path / "a.tar").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a.tar: is (cut off|damaged)"):
        Shard(tmp_path / "a.tar")


def test_what_is_no_shard_is_refused(tmp_path):
    (tmp_path / "text.tar").write_bytes(b"no tar" * 300)
    with pytest.raises(InputError, match="no plain tar"):
        Shard(tmp_path / "text.tar")
    write_shard(tmp_path / "a.tar", samples(1))
    (tmp_path / "z.tar").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(InputError, match=r"unpack it to a plain \.tar"):
        Shard(tmp_path / "z.tar")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(InputError, match="no samples"):
        Shard(tmp_path / "empty.tar")
    with pytest.raises(InputError, match="refuse or skip"):
        Shard(tmp_path / "a.tar", corrupt="x")  # pyright: ignore[reportArgumentType]


def test_arrays_that_are_none_are_refused(tmp_path):
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    whole = io.BytesIO()
    np.save(whole, np.zeros((4, 4)))
    files = {"o.npy": objects.getvalue(), "t.npy": b"text", "s.npy": whole.getvalue()[:-8]}
    write_shard(tmp_path / "a.tar", [("k", files)])
    shard = Shard(tmp_path / "a.tar")
    for ending, problem in (("o.npy", "Python objects"), ("t.npy", "no array"), ("s.npy", "needs 128")):
        with pytest.raises(InputError, match=f"sample k, {ending}: .*{problem}"):
            shard.array_of("k", ending)


def test_writing_refuses_keys_that_cannot_be_read_back(tmp_path):
    for key in ("a.b", "a/b", "", "a b"):
        with pytest.raises(InputError, match="no dots"):
            write_shard(tmp_path / "a.tar", [(key, {"x.txt": b""})])
    with pytest.raises(InputError, match="sample k: is there twice"):
        write_shard(tmp_path / "a.tar", [("k", {"x.txt": b""})] * 2)
    with pytest.raises(InputError, match="no samples to write"):
        write_shard(tmp_path / "a.tar", [])
    assert not list(tmp_path.iterdir())
