"""docs/performance.md: what bench/compare.py writes, and behind it sections that others write."""
import pathlib
import re

# Titles of those sections, in their order.
SECTIONS = ("Servers", "Packets")


def parts(text):
    """What comes before those sections, and those by title."""
    before, *rest = re.split(rf"(?m)^(?=## (?:{'|'.join(SECTIONS)})$)", text)
    return before, {title(section): section for section in rest}


def title(section):
    return section.splitlines()[0].removeprefix("## ")


def put_together(path, before, sections):
    texts = [before, *(sections[name] for name in SECTIONS if name in sections)]
    path.parent.mkdir(exist_ok=True)
    stripped = (text.strip() for text in texts)
    path.write_text("\n\n".join(filter(None, stripped)) + "\n", encoding="utf-8")


def read(path):
    return parts(path.read_text(encoding="utf-8") if path.exists() else "")


def write_first(path, text):
    """Replaces everything but those sections."""
    path = pathlib.Path(path)
    put_together(path, text, read(path)[1])


def write_section(path, section):
    """Replaces the section of this title."""
    path = pathlib.Path(path)
    before, sections = read(path)
    put_together(path, before, sections | {title(section): section})
