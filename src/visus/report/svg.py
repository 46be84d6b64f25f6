"""Make a plotting library's SVG fit to live inside a page and beside it.

Inline: no size of its own, no identifiers that clash with another figure's, no style that leaks, colors that
follow the page's light or dark scheme. As a file: the same drawing on a light card, readable on any background.
"""

from __future__ import annotations

import re
import urllib.parse
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
INK = "#1b1f24"
"""Color of text and axes while drawing; becomes the page's text color inline."""
FONTS = (
    "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',"
    "'Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif"
)
_CARD = "#ffffff"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def tidy(svg: str, *, name: str, label: str, colors: dict[str, str]) -> str:
    """A drawing ready to be put into an HTML page.

    Parameters
    ----------
    svg : what the plotting library wrote.
    name : prefix of every identifier, unique in the page; letters, digits and dashes.
    label : what the figure shows, for people who do not see it.
    colors : drawn color -> name of the page's color variable; the drawn color stays as the fallback.
    """
    root = _compact(svg)
    _identifiers(root, name)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("class", "plot")
    root.set("style", f"stroke-linejoin:round;stroke-linecap:butt;font-family:{FONTS}")
    drawn = ElementTree.tostring(root, encoding="unicode").replace(INK, "currentColor")
    for color, variable in colors.items():
        drawn = drawn.replace(color, f"var(--{variable},{color})")
    return drawn + "\n"


def address(svg: str) -> str:
    """A drawing as the source of an `img`: nothing it contains runs in the page or clashes with it."""
    try:
        root = _compact(svg)
        _identifiers(root, "i")
        root.set("style", f"stroke-linejoin:round;stroke-linecap:butt;font-family:{FONTS}")
        text = ElementTree.tostring(root, encoding="unicode")
    except ElementTree.ParseError:
        text = svg  # shows as a broken image, which is what it is
    return "data:image/svg+xml," + urllib.parse.quote(text, safe=" /:=;,.'()!*@$+?|[]{}^`~")


def standalone(svg: str) -> str:
    """The same drawing as a file of its own: its own size, plain colors, a light card behind it."""
    plain = re.sub(r"var\(--[\w-]+,\s*([^)]+)\)", r"\1", svg).replace("currentColor", INK)
    root = ElementTree.fromstring(plain)
    _, _, width, height = root.get("viewBox", "0 0 420 300").split()
    root.set("width", width)
    root.set("height", height)
    card = ElementTree.Element(f"{{{SVG}}}rect", {"width": width, "height": height, "rx": "6", "fill": _CARD})
    root.insert(0, card)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _compact(svg: str) -> ElementTree.Element:
    """The same drawing without what nobody sees: metadata, digits beyond a hundredth, empty groups, repeated styles."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in {"metadata", "style"}:
                parent.remove(child)
    for node in root.iter():
        for key, value in list(node.attrib.items()):
            if key in {"d", "x", "y", "transform", "style", "points", "width", "height"}:
                node.set(key, _NUMBER.sub(_shorter, value))
        if "style" in node.attrib:
            node.set("style", _style(node.attrib["style"]))
        node.text = node.text if (node.text or "").strip() else None
        node.tail = node.tail if (node.tail or "").strip() else None
        if node.get("transform", "").startswith("rotate(-0 "):
            del node.attrib["transform"]
    _unwrap(root)
    for node in root.iter():
        _share_style(node)
    return root


def _identifiers(root: ElementTree.Element, name: str) -> None:
    used: set[str] = set()
    for node in root.iter():
        for value in node.attrib.values():
            used.update(re.findall(r"url\(#([^)]+)\)", value))
        if node.get(f"{{{XLINK}}}href", "").startswith("#"):
            used.add(node.attrib[f"{{{XLINK}}}href"][1:])
    short = {old: f"{name}-{index}" for index, old in enumerate(i for i in _in_order(root) if i in used)}
    for node in root.iter():
        for key, value in list(node.attrib.items()):
            if key == "id":
                if value in short:
                    node.set(key, short[value])
                else:
                    del node.attrib[key]
            elif key == f"{{{XLINK}}}href" and value[1:] in short:
                node.set(key, "#" + short[value[1:]])
            elif "url(#" in value:
                node.set(key, re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{short[m.group(1)]})", value))


def _unwrap(node: ElementTree.Element) -> None:
    """Groups that say nothing about what they hold give way to it."""
    for child in list(node):
        _unwrap(child)
    kept: list[ElementTree.Element] = []
    for child in node:
        bare = child.tag == f"{{{SVG}}}g" and not child.attrib
        empty = child.tag == f"{{{SVG}}}defs" and not len(child)
        kept += list(child) if bare or empty else [child]
    node[:] = kept


def _share_style(group: ElementTree.Element) -> None:
    """Many equal marks carry their style once, on the group around them."""
    styles = {child.get("style") for child in group}
    if len(group) > 1 and len(styles) == 1 and "style" not in group.attrib and None not in styles:
        group.set("style", styles.pop() or "")
        for child in group:
            del child.attrib["style"]


def _in_order(root: ElementTree.Element) -> list[str]:
    return [node.attrib["id"] for node in root.iter() if "id" in node.attrib]


def _shorter(match: re.Match[str]) -> str:
    value = float(match.group())
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{value:.3g}"


def _style(style: str) -> str:
    """Fonts by size and weight only: the family is the page's, and the browser finds glyphs for every script."""
    style = re.sub(r"font:\s*(\d{3}\s+)?(?:\w+\s+)*?([\d.]+)px[^;]*", _font, style)
    style = re.sub(r"font-family:[^;]*;?", "", style)
    return re.sub(r"\s*([:;])\s*", r"\1", style).strip("; ")


def _font(match: re.Match[str]) -> str:
    weight = f";font-weight:{match.group(1).strip()}" if match.group(1) else ""
    return f"font-size:{match.group(2)}px{weight}"
