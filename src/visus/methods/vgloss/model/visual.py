"""Which words speak of something that can be seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from visus.methods.vgloss.model.languages.english import folded, word_set

if TYPE_CHECKING:
    from visus.data.wordnet import Synset, WordNet

NOUN_ROOTS = (
    "color.n.01",
    "shape.n.02",
    "external_body_part.n.01",
    "appendage.n.03",
    "animal_material.n.01",
    "body_covering.n.01",
    "plant_organ.n.01",
    "fabric.n.01",
    "metallic_element.n.01",
    "marking.n.02",
    "decoration.n.01",
    "garment.n.01",
    "roof.n.01",
    "wheel.n.01",
)
"""Everything that is a kind of these is a thing one sees."""
ADJECTIVE_ROOTS = (
    "chromatic.a.03",
    "achromatic.a.01",
    "colorful.a.01",
    "colorless.a.01",
    "light.a.02",
    "dark.a.02",
    "bright.a.01",
    "large.a.01",
    "small.a.01",
    "long.a.02",
    "short.a.02",
    "tall.a.01",
    "wide.a.01",
    "narrow.a.01",
    "thick.a.01",
    "thin.a.01",
    "thin.a.02",
    "fat.a.01",
    "round.a.01",
    "square.a.01",
    "angular.a.01",
    "curved.a.01",
    "straight.a.01",
    "flat.s.01",
    "pointed.a.01",
    "patterned.a.01",
    "rough.a.01",
    "smooth.a.01",
    "hairy.a.01",
    "feathered.a.01",
    "winged.a.01",
    "horned.a.01",
    "transparent.s.01",
    "clothed.a.01",
)
"""These and the adjectives WordNet calls similar to them."""
BUILT_IN = word_set(
    # colors
    "red reddish orange yellow yellowish green greenish blue bluish purple violet pink brown brownish tan beige cream "
    "white whitish black blackish gray grey greyish golden gold silver silvery amber crimson scarlet turquoise colored "
    "color colour coloration dark pale bright light dull vivid iridescent transparent translucent metallic shiny "
    "glossy matte "
    # shape, size
    "round rounded square rectangular oval circular triangular spherical cylindrical conical flat curved straight "
    "pointed sharp blunt hooked forked spiral shape shaped angular domed arched slender slim thin thick thickset "
    "stocky plump narrow wide broad long short tall large big huge small tiny giant massive elongated streamlined "
    "bulky compact curly "
    # surface, pattern
    "striped stripe spotted spot speckled mottled plaid checkered patterned pattern band banded dotted ring marking "
    "smooth rough wrinkled hairy furry fluffy shaggy woolly scaly feathered feathery spiky spiny prickly bumpy ribbed "
    "layered fringe crest patch streak "
    # bodies
    "head neck face eye ear nose snout muzzle mouth beak bill tooth teeth tusk tongue horn antler mane crest wing "
    "feather plumage fur coat hair skin scale shell fin gill tail leg foot feet paw claw hoof flipper tentacle arm "
    "hand finger chest breast belly back shoulder body torso whisker beard "
    # plants
    "leaf leaves petal stem stalk trunk branch bark flower blossom bud root seed thorn fruit cap gill "
    # things
    "handle wheel blade lid knob button strap buckle door window roof wall tower arch column chimney sail mast hull "
    "deck propeller engine cockpit fuselage rotor windshield bumper headlight seat saddle frame pole rope chain screen "
    "keyboard string spout rim base drawer shelf sleeve collar pocket lace zipper "
    # material
    "wood wooden metal steel iron brass copper glass plastic leather rubber stone brick concrete cloth fabric cotton "
    "wool paper ceramic clay straw "
    # surroundings
    "sky water sea river grass snow sand ice tree road street background"
)
"""Words of our own, used without WordNet and beside it."""
NOT_VISUAL = word_set(
    "part place area system point way form thing back order case cast game pass run stock charge mark spread state "
    "common cover can may use general being life well cold cool great good hot member line figure heart range run "
    "rank break check turn set square-shouldered deep major high old little extensive far great considerable vast "
    "important wide-ranging significant brief minor little-known slight modest low-level abrupt some field lowly "
    "comprehensive broad-based overt clear unclear obvious extended"
)
"""Words that also have a visible meaning but rarely carry it."""


@dataclass(frozen=True)
class VisualLexicon:
    """Words of color, shape, size, surface, visible parts, material and surroundings.

    >>> VisualLexicon.built_in().seen("a bird with long-necked grace and striped wings")
    ('long', 'necked', 'striped', 'wings')
    """

    words: frozenset[str] = field(repr=False)
    origin: str
    """`built-in`, or the version of WordNet it was derived from."""

    @classmethod
    def built_in(cls) -> VisualLexicon:
        """The small list that needs no WordNet."""
        return cls(frozenset(each for word in BUILT_IN for each in (word, *folded(word))), "built-in")

    @classmethod
    def from_wordnet(cls, wordnet: WordNet) -> VisualLexicon:
        """The built-in list with the kinds and neighbors of the visual roots of WordNet.

        Differs: the paper does not publish how it keeps descriptions visual; this lexicon is ours.
        """
        found = (lemma for root in _roots(wordnet) for lemma in root.lemmas)
        words = {lemma.lower() for lemma in found if lemma.isalpha() and len(lemma) > 2}
        folds = {folded(word)[0] for word in words}
        own = cls.built_in().words
        return cls(frozenset(((words | folds) - NOT_VISUAL) | own), f"wordnet {wordnet.version}")

    def seen(self, text: str) -> tuple[str, ...]:
        """The visual words of a text, in order."""
        spoken = (word.strip(".,;:!?()\"'“”") for word in text.lower().replace("-", " ").split())
        return tuple(word for word in spoken if any(form in self.words for form in _forms(word)))


def visual_lexicon(wordnet: WordNet | None = None) -> VisualLexicon:
    """The lexicon by WordNet if it is given or can be found on this machine, the built-in one otherwise."""
    if wordnet is None:
        from visus.data.wordnet import WordNet, find_wordnet

        folder = find_wordnet()
        if folder is None:
            return VisualLexicon.built_in()
        wordnet = WordNet.open(folder)
    return VisualLexicon.from_wordnet(wordnet)


def _roots(wordnet: WordNet) -> Iterator[Synset]:
    """The roots this WordNet knows, and all below (nouns) or beside (adjectives) them, each once."""
    for name in ADJECTIVE_ROOTS:
        for root in _known(wordnet, name):
            yield root
            yield from root.related("&")
    seen: set[int] = set()
    waiting = [root for name in NOUN_ROOTS for root in _known(wordnet, name)]
    while waiting:
        synset = waiting.pop()
        if synset.offset not in seen:
            seen.add(synset.offset)
            waiting.extend(synset.hyponyms())
            yield synset


def _known(wordnet: WordNet, name: str) -> Iterable[Synset]:
    """The synset of this name; none if this version numbers its senses otherwise."""
    lemma, pos, number = name.rsplit(".", 2)
    senses = wordnet.synsets(lemma, "a" if pos == "s" else pos)
    return senses[int(number) - 1 : int(number)]


def _forms(word: str) -> Iterator[str]:
    """A word as the lexicon may hold it: as it is, singular, without -ed."""
    yield word
    yield from folded(word)
    if len(word) > 4 and word.endswith("ed"):
        yield word[:-1]
        yield word[:-2]
