"""Files: everything comes back, and what is broken is told."""

from __future__ import annotations

import json
import os

import pytest
import torch
from polytopes_cells import complex_of, network
from safetensors.torch import load_file, save_file

from visus.errors import InputError
from visus.methods.polytopes.model import storage
from visus.methods.polytopes.model.complex import Complex
from visus.methods.polytopes.model.slices import Slice


@pytest.fixture(scope="module")
def cells():
    return complex_of(network((3, 6, 4, 3), seed=1))


@pytest.mark.parametrize("widths", [(2, 6, 4, 1), (3, 6, 4, 3), (4, 4, 3, 2)])
def test_everything_comes_back(tmp_path, widths):
    cells = complex_of(network(widths, seed=1))
    cells.notes["trained on"] = {"rows": 3, "name": "Zoë"}
    file = tmp_path / "new folder" / "cells.safetensors"
    cells.save(file)
    again = Complex.load(file)
    assert again.f_vector == cells.f_vector
    assert again.notes == cells.notes
    assert again.num_signs == cells.num_signs
    assert again.slice is None
    for name in ("points", "outputs", "packed", "volumes", "num_facets", "num_vertices", "touches_box"):
        assert torch.equal(getattr(again, name), getattr(cells, name))
    assert torch.equal(again.patterns(), cells.patterns())
    assert torch.equal(again.num_simplices(), cells.num_simplices())
    assert torch.equal(again.affine_maps()[0], cells.affine_maps()[0])
    assert torch.equal(again.decision_boundary().points, cells.decision_boundary().points)
    assert again.tally().to_plain() == cells.tally().to_plain()
    assert os.listdir(file.parent) == [file.name]
    assert file.stat().st_mode & 0o777 == 0o644


def test_the_slice_comes_back_to_the_digit(tmp_path, cells):
    generator = torch.Generator().manual_seed(0)
    flat = Slice(torch.randn(4, 2, 3, 5, generator=generator))
    sliced = Complex(cells.lattice, cells.outputs, cells.packed, num_signs=cells.num_signs, slice=flat)
    sliced.save(tmp_path / "a")
    again = Complex.load(tmp_path / "a").slice
    assert again is not None
    assert (again.shape, again.box) == (flat.shape, flat.box)
    for name in ("origin", "basis", "points"):
        assert torch.equal(getattr(again, name), getattr(flat, name))
    assert torch.equal(again(cells.centroids), flat(cells.centroids))


def test_any_truncation_is_noticed(tmp_path, cells):
    file = tmp_path / "cells"
    cells.save(file)
    whole = file.read_bytes()
    for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cells: .*damaged"):
            Complex.load(file)
    file.write_bytes(b"\x80\x04" + whole[2:])
    with pytest.raises(InputError):
        Complex.load(file)


def test_other_files_are_refused(tmp_path):
    other = tmp_path / "weights.safetensors"
    save_file({"weight": torch.ones(2)}, other)
    with pytest.raises(InputError, match="holds no complex"):
        Complex.load(other)
    text = tmp_path / "notes.txt"
    text.write_text("a text")
    for path in (text, tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=path.name):
            Complex.load(path)


def rewritten(cells, file, change, header=None):
    """A saved complex with some of its tensors or its header changed."""
    cells.save(file)
    tensors = load_file(file)
    description = {"num_signs": cells.num_signs, "f_vector": cells.f_vector, "slice": None, "notes": {}}
    told = {"kind": storage.KIND, "version": storage.VERSION, "description": json.dumps(description)}
    change(tensors)
    save_file(
        {name: part.contiguous() for name, part in tensors.items()}, file, metadata=told | (header or {})
    )


def test_rewriting_alone_changes_nothing(tmp_path, cells):
    rewritten(cells, tmp_path / "cells", lambda tensors: None)
    assert Complex.load(tmp_path / "cells").f_vector == cells.f_vector


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors["edges"].__setitem__((0, 0), 10**6),
        lambda tensors: tensors["edges"].__setitem__((0, 0), -1),
        lambda tensors: tensors["rows.3"].__setitem__((0, 1), 10**6),
        lambda tensors: tensors["rows.2"].__setitem__((0, 0), -3),
        lambda tensors: tensors["points"].__setitem__((0, 0), float("nan")),
        lambda tensors: tensors.update(points=tensors["points"][:, :2]),
        lambda tensors: tensors.update(points=tensors["points"].float()),
        lambda tensors: tensors.update(outputs=tensors["outputs"][1:]),
        lambda tensors: tensors.update(patterns=tensors["patterns"][1:]),
        lambda tensors: tensors.update(patterns=tensors["patterns"][:, :1]),
        lambda tensors: tensors.update(wall=tensors["wall"][1:]),
        lambda tensors: tensors.update(edges=tensors["edges"][1:]),
        lambda tensors: tensors.update({"rows.2": tensors["rows.2"][:0]}),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, cells, change):
    rewritten(cells, tmp_path / "cells", change)
    with pytest.raises(InputError, match="damaged"):
        Complex.load(tmp_path / "cells")


def test_missing_parts_and_other_versions_are_named(tmp_path, cells):
    rewritten(cells, tmp_path / "cells", lambda tensors: tensors.pop("wall"))
    with pytest.raises(InputError, match="wall: is missing"):
        Complex.load(tmp_path / "cells")
    rewritten(cells, tmp_path / "cells", lambda tensors: None, {"version": "9"})
    with pytest.raises(InputError, match="version 9"):
        Complex.load(tmp_path / "cells")
    for description in ("{", "[]", '{"f_vector": 3}'):
        rewritten(cells, tmp_path / "cells", lambda tensors: None, {"description": description})
        with pytest.raises(InputError, match="cells"):
            Complex.load(tmp_path / "cells")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, cells, monkeypatch):
    file = tmp_path / "cells"
    cells.save(file)
    before = file.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.raises(InputError, match="No space left"):
        cells.save(file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["cells"]


def test_unusable_paths_and_notes_are_told(tmp_path, cells):
    with pytest.raises(InputError, match="is a folder"):
        cells.save(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(InputError, match="cannot be written"):
        cells.save(tmp_path / "file" / "cells")
    strange = Complex(
        cells.lattice, cells.outputs, cells.packed, num_signs=cells.num_signs, notes={"x": {1, 2}}
    )
    with pytest.raises(InputError, match="notes"):
        strange.save(tmp_path / "cells")
    assert sorted(os.listdir(tmp_path)) == ["file"]
