"""Short film reviews whose sentiment needs reading: negation, contrast, comparison, other people's opinions.

Rules
-----
A review is a chain of clauses. A clause has a polarity s (+1 or -1) and a weight w >= 0; the review is
positive when sum(s * w) > 0. That sum never lies strictly between -1 and 1.

- plain, w = 1 (2 with an intensifier, 0.5 with a hedge): "the plot was truly brilliant ."
- negated, w = 1, the word's polarity reversed: "the plot was never dull ."
- feeling, w = 1, reversed by `did not`: "i did not enjoy the ending ."
- comparison, w = 1, who is better than whom decides: "the book is far better than this film ."
- contrast, w = 0 for what is conceded, 2 for what is kept: "the plot was dull but the cast was superb ."
- reversal, w = 0 for the first part, 2 for the second: "at first it seemed dull , by the end it was superb ."
- hearsay, promise and fact, w = 0: "my sister called it superb ."
- advice, w = 2: "i would not recommend it to a student ."

Of reviews 2k and 2k + 1 one is positive, which one is random. Clauses are positive with chance 0.7, what is
conceded opposes what is kept, hearsay and promise are of either sign; then all signs are reversed if the sum
disagrees with the label. So single words help a little, word order and scope decide: logistic regression on
2,000 reviews gets 64 % of others right from single words, 74 % from pairs, 77 % from triples. Text is lower
case, words and punctuation are separated by blanks, 20 to 60 tokens. With `label_noise` p a label is wrong
with probability p.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from visus.errors import InputError
from visus.records import write_atomically


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GOOD = _words(
    """
    amazing beautiful brilliant captivating charming clever compelling convincing delightful elegant
    engaging enjoyable excellent exciting fantastic flawless fresh fun funny gorgeous great gripping
    hilarious impressive inspired inventive lovely magnificent masterful memorable moving original
    perfect polished powerful remarkable sharp smart splendid strong stunning superb thrilling
    touching wonderful
    """
)
BAD = _words(
    """
    annoying atrocious awful awkward bad bland boring cheap clumsy confusing disappointing dreadful
    dull dumb empty flat forced forgettable horrible incoherent irritating laughable lazy lifeless
    messy mediocre pathetic pointless poor predictable pretentious ridiculous shallow silly sloppy
    stale stupid tedious terrible tiresome ugly unbearable weak wooden worthless
    """
)
ASPECTS = _words(
    """
    plot story acting cast direction dialogue script music soundtrack camera editing pacing ending
    opening lead villain humor romance action atmosphere setting lighting animation premise finale
    """
)
OTHERS = ("the book", "the original", "the first part", "the series", "the sequel", "the play", "the remake")
PEOPLE = _words("sister brother mother father neighbor boss roommate cousin uncle friend wife husband")
HEROES = _words(
    "sailor doctor detective teacher painter soldier singer lawyer farmer pilot student chef widow"
)
PLACES = _words("berlin london paris rome tokyo texas alaska madrid dublin vienna")
STRONG = ("truly", "utterly", "absolutely", "really", "extremely", "incredibly")
HEDGES = ("somewhat", "slightly", "rather", "fairly")
LIKED, LIKE = ("loved", "enjoyed", "admired", "adored"), ("love", "enjoy", "admire", "like")
LOATHED, LOATHE = ("hated", "disliked", "regretted", "detested"), ("hate", "dislike", "regret", "mind")


@dataclass(frozen=True)
class Clause:
    """One statement: what it says of the film (`polarity`), how much that counts, and its words."""

    kind: str
    weight: float
    polarity: int
    words: Callable[[int], str]
    """Polarity -> text. Only the words that carry the polarity depend on it."""


@dataclass(frozen=True)
class Review:
    """A review and the reason for its label."""

    text: str
    label: int
    """1 positive, 0 negative; noise included."""
    score: float
    """sum(polarity * weight) of the clauses; its sign is the label without noise."""
    clauses: tuple[tuple[str, float, int, str], ...]
    """(kind, weight, polarity, words) of each."""


def make(n: int, *, seed: int = 0, first: int = 0, label_noise: float = 0.0) -> tuple[list[str], list[int]]:
    """Texts and labels (1 positive, 0 negative) of the reviews `first` ... `first + n - 1` of a seed.

    A review depends on the seed and its number alone: give test items numbers that training items do not
    have.

    >>> texts, labels = make(4)
    >>> sorted(labels)
    [0, 0, 1, 1]
    """
    reviews = draw(n, seed=seed, first=first, label_noise=label_noise)
    return [review.text for review in reviews], [review.label for review in reviews]


def draw(n: int, *, seed: int = 0, first: int = 0, label_noise: float = 0.0) -> list[Review]:
    """The same reviews as `make`, with what lies behind them."""
    if n < 0 or first < 0:
        raise InputError("must not be negative", field="n" if n < 0 else "first")
    if not 0 <= label_noise <= 0.5:
        raise InputError(
            f"{label_noise} is not a share of wrong labels", field="label_noise", remedy="0 to 0.5"
        )
    return [_review(seed, number, label_noise) for number in range(first, first + n)]


def write(folder: str | Path, *, n_train: int = 200, n_test: int = 100, seed: int = 0) -> Path:
    """Write reviews as the folder aclImdb: `{train,test}/{pos,neg}/<id>_<rating>.txt`, one review per file.

    Ratings are 7 to 10 for positive and 1 to 4 for negative reviews, further out for clearer ones. Returns
    `folder`.
    """
    folder = Path(folder)
    for part, n, first in (("train", n_train, 0), ("test", n_test, n_train)):
        counts = {"pos": 0, "neg": 0}
        for review in draw(n, seed=seed, first=first):
            name = "pos" if review.label else "neg"
            clearness = min(3, int(abs(review.score)) // 2)
            rating = 7 + clearness if review.label else 4 - clearness
            write_atomically(folder / part / name / f"{counts[name]}_{rating}.txt", review.text)
            counts[name] += 1
    return folder


def _review(seed: int, number: int, label_noise: float) -> Review:
    random = Random(f"review {seed} {number}")
    label = _balanced(seed, number)
    while True:
        clauses = [clause for _ in range(random.randint(3, 6)) for clause in random.choice(SENTENCES)(random)]
        score = sum(clause.polarity * clause.weight for clause in clauses)
        turn = 1 if (score > 0) == (label == 1) else -1
        spoken = [(c.kind, c.weight, turn * c.polarity, c.words(turn * c.polarity)) for c in clauses]
        text = " ".join(words for *_, words in spoken)
        if abs(score) >= 1 and 20 <= len(text.split()) <= 60:
            break
    given = 1 - label if random.random() < label_noise else label
    return Review(text=text, label=given, score=turn * score, clauses=tuple(spoken))


def _balanced(seed: int, number: int) -> int:
    first = Random(f"label {seed} {number // 2}").randint(0, 1)
    return first if number % 2 == 0 else 1 - first


def _pair(random: Random) -> dict[int, str]:
    """A word for either polarity, both drawn, so that reversing the signs changes nothing else."""
    return {+1: random.choice(GOOD), -1: random.choice(BAD)}


def _sign(random: Random) -> int:
    """A reviewer mostly agrees with himself: 7 clauses of 10 point one way."""
    return 1 if random.random() < 0.7 else -1


def _statement(random: Random) -> Callable[[int], str]:
    """`the <aspect> was <word>`, sometimes by negating the opposite word; no full stop."""
    aspect, word, negated = random.choice(ASPECTS), _pair(random), random.random() < 0.35
    negation = random.choice(("not", "never", "hardly", "far from"))
    if negated:
        return lambda s: f"the {aspect} was {negation} {word[-s]}"
    return lambda s: f"the {aspect} was {word[s]}"


def _plain(random: Random) -> list[Clause]:
    aspect, word, roll = random.choice(ASPECTS), _pair(random), random.random()
    weight = 2.0 if roll < 0.25 else 0.5 if roll < 0.45 else 1.0
    adverb = {2.0: random.choice(STRONG) + " ", 0.5: random.choice(HEDGES) + " ", 1.0: ""}[weight]
    return [Clause("plain", weight, _sign(random), lambda s: f"the {aspect} was {adverb}{word[s]} .")]


def _negated(random: Random) -> list[Clause]:
    aspect, word = random.choice(ASPECTS), _pair(random)
    forms: tuple[Callable[[int], str], ...] = (
        lambda s: f"the {aspect} was not {word[-s]} .",
        lambda s: f"the {aspect} was never {word[-s]} .",
        lambda s: f"there was nothing {word[-s]} about the {aspect} .",
        lambda s: f"nobody could call the {aspect} {word[-s]} .",
    )
    return [Clause("negated", 1.0, _sign(random), random.choice(forms))]


def _feeling(random: Random) -> list[Clause]:
    aspect, negated = random.choice(ASPECTS), random.random() < 0.5
    verb = {+1: random.choice(LIKED), -1: random.choice(LOATHED)}
    stem = {+1: random.choice(LIKE), -1: random.choice(LOATHE)}
    if negated:
        return [Clause("feeling", 1.0, _sign(random), lambda s: f"i did not {stem[-s]} the {aspect} .")]
    return [Clause("feeling", 1.0, _sign(random), lambda s: f"i {verb[s]} the {aspect} .")]


def _comparison(random: Random) -> list[Clause]:
    other, degree = random.choice(OTHERS), random.choice(("far ", "much ", ""))
    word, favors_left = random.choice((("better", 1), ("worse", -1)))

    def words(s: int) -> str:
        left, right = ("this film", other) if s == favors_left else (other, "this film")
        return f"{left} is {degree}{word} than {right} ."

    return [Clause("comparison", 1.0, _sign(random), words)]


def _contrast(random: Random) -> list[Clause]:
    conceded, kept, s, form = _statement(random), _statement(random), _sign(random), random.randrange(3)
    if form == 0:
        first = Clause("conceded", 0.0, -s, lambda p: f"although {conceded(p)} ,")
        return [first, Clause("kept", 2.0, s, lambda p: f"{kept(p)} .")]
    if form == 1:
        return [Clause("conceded", 0.0, -s, conceded), Clause("kept", 2.0, s, lambda p: f"but {kept(p)} .")]
    last = Clause("conceded", 0.0, -s, lambda p: f"even though {conceded(p)} .")
    return [Clause("kept", 2.0, s, kept), last]


def _reversal(random: Random) -> list[Clause]:
    one, two, s = _pair(random), _pair(random), _sign(random)
    return [
        Clause("before", 0.0, -s, lambda p: f"at first it seemed {one[p]} ,"),
        Clause("after", 2.0, s, lambda p: f"by the end it was {two[p]} ."),
    ]


def _hearsay(random: Random) -> list[Clause]:
    who = random.choice(("my " + random.choice(PEOPLE), "the critics", "everyone online"))
    word, verb = _pair(random), random.choice(("called", "found", "considered"))
    return [Clause("hearsay", 0.0, random.choice((-1, 1)), lambda s: f"{who} {verb} it {word[s]} .")]


def _promise(random: Random) -> list[Clause]:
    source, word = random.choice(("trailer", "poster", "advertising")), _pair(random)
    return [
        Clause(
            "promise", 0.0, random.choice((-1, 1)), lambda s: f"the {source} promised something {word[s]} ."
        )
    ]


def _fact(random: Random) -> list[Clause]:
    hero, place = random.choice(HEROES), random.choice(PLACES)
    forms = (
        f"the story follows a {hero} in {place} .",
        f"it runs for two hours and takes place in {place} .",
    )
    text = random.choice(forms)
    return [Clause("fact", 0.0, 1, lambda s: text)]


def _advice(random: Random) -> list[Clause]:
    who, word = random.choice(HEROES + PEOPLE), {+1: "would", -1: "would not"}
    return [Clause("advice", 2.0, _sign(random), lambda s: f"i {word[s]} recommend it to a {who} .")]


SENTENCES: tuple[Callable[[Random], list[Clause]], ...] = (
    *(_plain, _plain, _plain, _plain, _plain, _negated, _negated, _feeling, _feeling, _comparison),
    *(_contrast, _contrast, _contrast, _reversal, _hearsay, _promise, _fact, _advice),
)
"""What a review's sentences are drawn from, repeated as often as they are likely."""
