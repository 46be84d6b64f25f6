"""The only registry of papers: one card per paper, one YAML file per card in `cards/`."""

from visus.catalogue.arxiv import ArxivId, read_arxiv
from visus.catalogue.card import Card
from visus.catalogue.shelf import cards, find, get, nearest, select, works

__all__ = ["ArxivId", "Card", "cards", "find", "get", "nearest", "read_arxiv", "select", "works"]
