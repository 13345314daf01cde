"""Hold the stroke skeletons of the ten Gurmukhi digits, placed by hand and by eye.

A line of points `x,y` is a hand: the pen's path in hundredths of the glyph's box, y downwards,
with `!` after a corner. `#` begins a remark on the next hand. The hands of a family draw the same
strokes with as many points, so that any two of them can be blended; the number after `family`
says how often it is written, against the digit's other families.
"""

from dataclasses import dataclass

# ੦ a ring from the top, counter-clockwise
ZERO = """
family 5: closed, its ends overlapping
    # round
    56,4 40,2 20,9 4,38 6,72 32,97 66,97 95,72 97,38 80,10 56,3 46,2
    # leaning to the right
    70,8 56,2 30,10 6,45 3,75 25,98 60,95 90,70 98,35 88,10 66,3 58,4
    # leaning to the left
    40,6 30,4 14,14 2,40 10,75 40,98 75,96 97,75 95,45 75,15 45,3 38,6
family 3: with a tick inside or outside the top
    # begun inside
    50,28 48,12 30,4 4,30 6,72 32,97 66,97 95,72 97,38 80,10 56,3 48,8
    # ended inside
    62,8 50,12 30,8 4,35 6,72 32,97 66,97 95,72 97,38 82,12 62,5 45,25
    # begun outside
    5,2 20,15 12,30 2,48 8,80 36,98 70,95 95,70 97,40 75,12 40,5 22,12
    # not closed
    35,6 25,8 14,18 2,40 6,75 35,98 70,96 95,75 98,38 90,14 74,3 66,12
"""

# ੧ a loop or flag at the top left, a stem, mostly a foot
ONE = """
family 6: loop or flag, with a foot
    # loop, leaning stem, foot
    66,34 40,42 10,34 6,16 38,2 74,8 82,28 66,52 52,78 58,96 78,96 98,92
    # flat loop, 2-like
    88,32 55,28 14,24 10,8 45,2 88,8 94,28 62,55 28,82 24,96 55,97 97,97
    # loop, upright stem, small foot
    68,32 40,38 8,32 6,14 35,2 72,6 80,26 76,50 72,78 76,94 86,96 98,95
    # open flag, 2-like
    52,20 30,30 6,24 10,8 45,2 88,8 96,25 65,55 30,84 26,96 55,97 97,96
    # flat flag, stem swinging to the lower right
    44,14 24,18 4,14 8,5 44,2 84,3 95,14 80,38 64,62 62,80 74,92 92,98
    # narrow loop, far-reaching foot
    46,38 28,42 6,32 4,14 22,2 42,4 52,20 48,44 34,74 38,92 58,97 98,88
    # small flag, diagonal stem
    74,16 52,18 30,10 40,4 66,3 94,3 97,14 60,48 10,84 4,96 30,97 70,96
family 4: loop or flag, without a foot
    # loop and stem without a foot
    90,34 55,38 8,36 4,18 38,3 74,3 93,18 92,42 88,64 87,80 90,92 94,98
    # open flag, stem to the lower right
    46,16 40,28 10,34 4,20 22,4 50,2 68,14 74,38 80,60 84,76 90,90 98,97
    # flat loop, stem to the lower left and back
    80,32 45,34 8,26 12,10 45,2 82,4 96,22 84,44 66,66 60,82 66,92 80,98
    # flat flag, thick upright stem
    50,16 30,20 4,16 6,6 40,2 76,4 90,14 88,38 84,60 80,76 80,88 88,98
    # flat flag, stem swinging out
    46,12 26,18 4,16 6,5 44,2 82,3 92,16 84,40 70,62 66,80 74,92 88,98
    # open round loop, stem to the left and back
    54,34 30,44 6,36 6,14 40,2 80,8 94,28 76,52 46,68 38,84 50,92 74,97
    # deep curl, slanting stem
    48,30 20,32 4,20 16,5 50,2 82,4 96,20 84,46 62,66 56,82 62,92 76,98
family 1: the loop's lower arm crosses the stem
    # leaning stem
    98,14 70,25 20,33 2,28 20,10 45,2 58,8 66,28 70,52 75,72 80,88 82,98
    # upright stem
    98,30 65,31 25,32 4,24 14,8 42,2 60,12 66,35 66,55 66,72 66,86 64,98
"""

# ੨ a hook, a bow, a loop to the left, a tail
TWO = """
family 6: begun with a hook
    # plain
    12,22 4,14 24,5 58,3 82,16 80,40 56,57 25,62 7,74 22,86 48,80 62,62! 80,78 98,98
    # cusp in place of the loop
    20,24 10,16 28,4 58,3 84,16 78,40 52,58 24,68 4,74! 22,75 40,75 56,78 78,88 98,98
    # low wide loop
    14,20 6,14 24,5 60,3 88,18 84,46 58,60 20,68 3,80 20,94 50,86 68,66! 84,80 98,98
    # high flat loop, long tail
    6,16 4,12 26,3 56,4 76,18 70,36 52,48 26,50 6,55 16,66 40,62 54,54! 76,74 98,98
    # no hook, blob at the left, straight tail
    28,8 34,4 44,3 58,6 72,18 70,36 54,54 30,66 4,76 14,82 30,74 44,72 72,86 98,98
    # high cusp, long tail
    2,10 6,6 24,3 52,4 80,16 82,24 62,36 40,38 8,42! 24,46 44,48 58,54 80,76 98,98
    # narrow bow, low loop, far-reaching tail
    22,20 20,10 34,4 50,6 64,20 62,38 48,52 28,58 6,64 14,76 34,74 54,66! 76,82 98,98
family 2.5: with a curl at the top
    # curl and loop
    46,16 30,28 10,20 26,4 62,2 86,18 82,45 50,62 15,72 5,86 28,90 60,72! 80,82 98,98
    # curl and cusp
    60,22 38,26 26,14 50,3 80,4 92,18 82,40 46,58 10,65 2,66! 25,68 50,72 76,86 98,98
    # round curl, narrow bow
    20,18 20,30 4,22 14,4 48,3 66,18 64,44 48,68 20,80 12,96 30,92 46,76! 70,82 98,98
"""

# ੩ two bows, a loop to the left, a tail
THREE = """
family 1: all
    # plain
    5,14 26,4 58,3 74,14 62,28 42,34! 66,34 80,46 66,60 28,66 6,78 24,90 52,82 66,66! 98,98
    # cusp in place of the loop
    5,10 26,4 58,3 74,14 62,28 48,36! 66,38 76,48 66,58 30,70 6,84! 30,82 52,78 68,78 98,98
    # narrow bows
    12,16 26,4 50,4 64,14 54,28 36,36! 58,36 70,46 60,60 34,66 16,78 28,90 50,84 60,68! 98,98
    # wide first bow
    3,10 26,3 66,6 92,18 70,30 30,34! 66,34 84,44 68,56 24,62 6,74 24,86 54,78 68,64! 90,98
    # first bow pointing to the right, loop flat
    3,8 30,3 66,8 97,20 74,34 48,42! 66,44 80,54 64,66 26,72 3,82 28,92 62,86 78,78! 98,98
    # first bow to the right, a slanted glyph, tail short
    14,10 36,3 72,4 97,12 80,26 56,36! 74,36 86,46 66,58 26,60 4,66 20,76 44,72 56,70! 62,98
    # second bow far to the left
    3,6 22,3 40,10 46,22 36,32 26,40! 46,40 60,50 54,62 36,72 26,82 38,90 54,84 62,80! 98,98
    # flat loop, its lower arm long, tail short
    5,10 26,4 60,4 84,14 66,28 40,36! 70,38 88,50 70,60 30,62 5,68 20,76 50,78 78,78! 94,97
    # bows far to the right, blob in place of the loop
    20,20 24,6 52,4 84,14 70,30 50,38! 74,40 88,50 66,60 30,64 6,68 14,76 40,72 58,68! 98,98
"""

# ੪ an eight, open at the top
FOUR = """
family 1: all
    # small loop at the lower left
    26,5 10,4 8,22 14,42 38,58 44,80 24,97 6,88 16,70 50,60 86,46 96,24 88,4
    # ribbon
    4,6 14,4 24,18 34,40 52,66 58,86 44,98 30,88 36,66 50,48 66,30 80,16 98,6
    # eight
    52,10 36,3 14,14 22,34 52,50 84,70 66,96 28,96 12,76 40,56 80,38 90,18 74,6
    # ribbon with a hooked arm, loop at the lower left
    4,12 20,3 36,18 42,42 44,68 38,92 26,98 18,86 26,66 44,48 66,32 84,22 98,14
    # loop at the lower right, hooked right arm
    4,4 4,20 26,36 58,50 76,68 78,92 62,98 52,84 60,64 82,44 97,24 84,6 62,4
    # wide arms, small loop in the middle
    3,5 6,24 28,40 52,54 66,72 68,92 58,98 50,86 56,66 76,46 97,26 90,10 72,8
    # S with a hook at the upper right
    30,3 14,8 12,26 30,42 52,58 58,80 36,97 6,92 10,74 44,54 86,36 96,16 66,12
"""

# ੫ a hook, a bowl and a stem at the right
FIVE = """
family 1: all
    # plain
    3,16 14,3 32,8 34,26 26,48 34,66! 62,60 84,40 90,4! 91,40 92,70 92,98
    # round bowl
    3,12 12,3 28,10 30,32 30,58 48,78 70,70 84,42 88,4! 90,40 94,70 96,98
    # Z-like start
    3,14 18,3 38,10 34,24 20,38 8,52 36,56 70,46 94,8! 94,40 92,70 88,98
    # pointed, legs apart
    3,14 10,3 22,10 26,34 34,62 44,78 56,56 64,30 72,6! 78,36 88,70 98,98
"""

# ੬ a flag and two cusps
SIX = """
family 1: all
    # plain
    98,9 82,3 66,9 64,24 76,34! 52,33 32,44 32,60 64,67! 22,70 3,82 15,97 55,98 92,93
    # leaning back, long foot
    60,4 48,4 38,12 36,24 50,32! 30,34 12,44 20,56 46,64! 22,66 4,78 15,92 55,96 98,98
    # wide upper bow
    94,8 80,3 68,8 66,22 88,34! 44,34 12,46 10,58 76,64! 22,68 3,82 12,96 50,97 86,88
    # leaning far back
    46,3 34,4 24,12 26,22 42,22! 18,18 4,28 26,42 54,50! 30,54 20,68 30,84 60,94 98,98
    # upright, shallow cusps
    60,3 46,4 36,12 34,22 58,26! 28,30 14,42 12,52 36,58! 14,62 4,76 10,90 46,97 98,97
"""

# ੭ a hook and a bow
SEVEN = """
family 1: all
    # tail to the left
    12,24 3,18 26,6 60,3 90,8 97,28 80,58 54,82 24,98
    # upright
    10,26 3,18 26,6 58,3 88,6 96,28 92,58 86,80 82,98
    # tail curling in
    14,30 4,22 22,8 56,2 88,10 97,34 90,66 66,90 30,94
    # longer hook
    34,26 8,22 16,8 56,3 88,10 96,30 84,58 60,82 34,98
"""

# ੮ a bar into a small loop, a stem, a foot
EIGHT = """
family 1: all
    # plain
    80,30 50,32 20,30 6,18 14,4 32,6 38,24 34,48 28,74 24,94! 60,94 97,84
    # no loop
    90,8 60,14 30,14 4,10 10,3 24,8 28,24 28,48 28,74 30,96! 60,94 90,84
    # bar curving up, stem and foot one arc
    70,4 62,24 36,40 10,42 3,30 4,12 10,24 15,46 24,68 40,86 68,98 98,92
    # straight bar, arc
    94,8 62,12 34,18 10,18 4,8 6,3 10,14 8,40 14,70 30,92 62,97 98,90
    # bar at the top, arc with a curl at its end
    97,5 70,6 44,14 26,16 30,6 36,8 18,30 5,56 12,84 40,97 66,92 72,78
    # Z-like
    84,32 62,36 34,32 26,16 44,4 62,6 66,20 50,44 28,68 6,90! 50,95 97,92
    # tall bar in the middle, Y-like
    66,3 54,24 34,36 12,34 3,24 14,18 30,36 30,54 34,72 46,90 72,97 98,84
"""

# ੯ a flag, a bar into a small loop, a stem, a foot
NINE = """
family 1: all
    # plain
    98,9 80,2 62,12 62,24 78,34! 50,46 24,46 5,40 6,28 20,24 30,38 28,60 24,88 36,97 60,94 76,82
    # no loop
    98,9 80,2 62,12 62,24 78,36! 50,42 24,44 4,44 4,40 16,40 26,42 28,60 28,88 36,97 60,96 90,86
    # stem and foot one arc
    84,4 68,4 58,14 62,28 80,36! 50,44 24,46 5,42 3,32 8,34 12,46 20,66 34,84 54,97 78,98 98,90
    # slanted flag on a long bar
    86,3 74,10 68,22 66,34 94,38! 62,44 36,52 8,58 4,50 18,44 28,56 24,72 16,92 30,97 46,96 64,92
    # bar sagging to a cusp
    66,3 62,14 58,28 62,38 66,44! 50,52 30,52 10,40 4,28 8,30 16,46 22,62 34,82 54,96 78,98 98,92
"""


@dataclass(frozen=True, slots=True)
class Digit:
    """A digit's hands, its width against its height, and the pen's width against its height.

    A digit with a long path is written larger, so the pen looks finer on it.
    """

    aspect: float
    pen: float
    hands: str


# widths are set by eye, to resemble the real digits' before they were stretched to a square
DIGITS = (
    Digit(aspect=0.95, pen=0.11, hands=ZERO),
    Digit(aspect=0.5, pen=0.09, hands=ONE),
    Digit(aspect=0.85, pen=0.09, hands=TWO),
    Digit(aspect=0.8, pen=0.08, hands=THREE),
    Digit(aspect=0.85, pen=0.085, hands=FOUR),
    Digit(aspect=0.85, pen=0.085, hands=FIVE),
    Digit(aspect=0.8, pen=0.075, hands=SIX),
    Digit(aspect=0.85, pen=0.1, hands=SEVEN),
    Digit(aspect=0.85, pen=0.085, hands=EIGHT),
    Digit(aspect=0.8, pen=0.075, hands=NINE),
)
