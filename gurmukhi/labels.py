"""The ten classes, as numbers and as glyphs."""

from typing import Final

GLYPHS: Final = ("੦", "੧", "੨", "੩", "੪", "੫", "੬", "੭", "੮", "੯")
CLASS_COUNT: Final = len(GLYPHS)
