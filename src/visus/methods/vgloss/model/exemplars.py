"""Worked examples for few-shot prompts: twelve things in six pairs that are easily confused, in our own words."""

from __future__ import annotations

from dataclasses import dataclass

from visus.methods.vgloss.model.languages.entry import Entry


@dataclass(frozen=True, kw_only=True)
class Exemplar:
    """An entry with the answers a model should imitate."""

    entry: Entry
    description: str
    """How it looks in a photo."""
    contrast: str
    """What shows in a photo that it is not its neighbor in `PAIRS`; does not name the neighbor."""


def _exemplar(
    name: str,
    kinds: tuple[str, ...],
    meaning: str,
    parts: tuple[str, ...],
    description: str,
    contrast: str,
    *,
    synonyms: tuple[str, ...] = (),
    example: str = "",
) -> Exemplar:
    entry = Entry(name=name, synonyms=synonyms, kinds=kinds, meaning=meaning, example=example, parts=parts)
    return Exemplar(entry=entry, description=description, contrast=contrast)


PAIRS: tuple[tuple[Exemplar, Exemplar], ...] = (
    (
        _exemplar(
            "moose",
            ("deer", "hoofed mammal"),
            "the largest deer, living in northern forests, with broad flat antlers",
            ("antler", "hoof", "dewlap"),
            "A moose is a huge dark brown animal with long pale legs, a drooping snout, a flap of skin under the "
            "throat and antlers as broad as shovels.",
            "The moose has a dark brown coat, a hanging upper lip and wide flat antlers with short points.",
            synonyms=("Alces alces",),
            example="a moose waded into the lake",
        ),
        _exemplar(
            "reindeer",
            ("deer", "hoofed mammal"),
            "a deer of the far north of which both sexes carry antlers, often kept in herds",
            ("antler", "hoof", "rump"),
            "A reindeer is a stocky grey-brown animal with a whitish shaggy neck, a furry nose and long thin antlers "
            "that curve backward and up.",
            "The reindeer has a grey coat with a white neck, a furry nose and slender curved antlers.",
            synonyms=("caribou",),
        ),
    ),
    (
        _exemplar(
            "walnut",
            ("nut", "seed"),
            "a nut with a hard wrinkled round shell and a kernel in two halves",
            ("shell", "kernel"),
            "A walnut is a round light brown nut whose hard shell is wrinkled and divided by a seam; the pale kernel "
            "inside looks like a small brain.",
            "The walnut is round, with a hard wrinkled brown shell and a seam around the middle.",
        ),
        _exemplar(
            "cashew",
            ("nut", "seed"),
            "a pale curved nut that is eaten roasted",
            ("kernel",),
            "A cashew is a smooth cream-colored nut, bent like a small crescent moon and thicker at one end.",
            "The cashew is smooth, cream-colored and curved like a kidney, without any shell.",
            synonyms=("cashew nut",),
            example="a bowl of salted cashews",
        ),
    ),
    (
        _exemplar(
            "igloo",
            ("dwelling", "shelter"),
            "a domed house built from blocks of hard snow",
            ("dome", "entrance"),
            "An igloo is a white dome of stacked snow blocks with a low arched tunnel as its entrance, standing on "
            "open snow.",
            "The igloo is a low white dome of snow blocks with an arched tunnel in front.",
        ),
        _exemplar(
            "tepee",
            ("tent", "dwelling"),
            "a cone-shaped tent of skins or cloth stretched over long poles",
            ("pole", "flap"),
            "A tepee is a tall tan cone of hide or canvas, often painted with bands, with bare wooden poles crossing "
            "above its tip.",
            "The tepee is a tall cone of cloth or hide with crossed wooden poles sticking out at the top.",
            synonyms=("tipi",),
        ),
    ),
    (
        _exemplar(
            "donkey",
            ("equine", "hoofed mammal"),
            "a small sturdy long-eared relative of the horse, used to carry loads",
            ("ear", "mane", "hoof"),
            "A donkey is a small grey animal with very long upright ears, a pale muzzle and belly, a short stiff mane "
            "and a tufted tail.",
            "The donkey is small and grey with huge ears, a white muzzle and a tuft at the end of a thin tail.",
            synonyms=("domestic ass", "Equus asinus"),
            example="the donkey carried two baskets up the hill",
        ),
        _exemplar(
            "pony",
            ("horse", "hoofed mammal"),
            "a horse of a small breed",
            ("mane", "tail", "hoof"),
            "A pony is a compact, rounded animal with short legs, a thick neck, small ears and a long bushy mane and "
            "tail in brown, black or white.",
            "The pony has small ears, a long flowing mane over a thick neck and a full bushy tail.",
        ),
    ),
    (
        _exemplar(
            "rake",
            ("garden tool", "tool"),
            "a long-handled tool with a row of teeth for gathering leaves",
            ("handle", "tooth"),
            "A rake is a long thin wooden handle that ends in a crossbar or a fan of many metal or plastic teeth.",
            "The rake ends in a wide comb of many thin teeth.",
            example="he leaned the rake against the shed",
        ),
        _exemplar(
            "trowel",
            ("garden tool", "tool"),
            "a small hand tool with a pointed scoop for planting",
            ("handle", "blade"),
            "A trowel is a hand-sized tool with a short wooden handle and a narrow curved steel blade that comes to a "
            "point.",
            "The trowel has a short handle and one solid pointed blade, curved like a scoop.",
        ),
    ),
    (
        _exemplar(
            "radish",
            ("root vegetable", "vegetable"),
            "a crisp pungent root that is eaten raw",
            ("root", "leaf"),
            "A radish is a small shiny red ball with a white thread of a root below and rough green leaves above.",
            "The radish is pinkish red and tapers into a thin white root, with crisp white flesh inside.",
        ),
        _exemplar(
            "cherry tomato",
            ("tomato", "vegetable"),
            "a small round tomato that is eaten whole",
            ("stem", "skin", "seed"),
            "A cherry tomato is a glossy bright red ball, the size of a coin, with a green star-shaped stem on top.",
            "The cherry tomato is smooth and glossy red all over, with a small green star where the stem was.",
            example="a salad with cherry tomatoes",
        ),
    ),
)
EXEMPLARS: tuple[Exemplar, ...] = tuple(exemplar for pair in PAIRS for exemplar in pair)
