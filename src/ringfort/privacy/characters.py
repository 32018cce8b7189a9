"""Which characters forms show and strike out: letters of alphabets, and the digits of every script.

Written out, not asked of the Unicode tables of the Python or the PostgreSQL at hand, which differ: a form
gives the same everywhere. What is not listed as a letter is not shown. Constants are to be put within the
brackets of a regular expression. Sources: Unicode 16.0, categories L, Nd and No of `UnicodeData.txt`.
"""

from __future__ import annotations


def _ranges(text: str) -> str:
    """Ranges of hexadecimal code points, as they stand within the brackets of a regular expression."""
    pairs = (each.partition("-") for each in text.split())
    return "".join(chr(int(low, 16)) + (f"-{chr(int(high, 16))}" if high else "") for low, _, high in pairs)


# Latin, Greek and Cyrillic, whole letters only: no marks, signs for numbers, or letter-like symbols
LETTER = "A-Za-z" + _ranges(
    "c0-d6 d8-f6 f8-24f 370-373 376-377 37b-37d 37f 386 388-38a 38c 38e-3a1 3a3-3ff 400-481 48a-52f "
    "1e00-1eff 1f00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 "
    "1fb6-1fbc 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc"
)

DIGIT = "0-9" + _ranges(  # decimal digits, and digits raised, lowered, in rings, in brackets or with a dot
    "b2-b3 b9 660-669 6f0-6f9 7c0-7c9 966-96f 9e6-9ef a66-a6f ae6-aef b66-b6f be6-bef c66-c6f ce6-cef "
    "d66-d6f de6-def e50-e59 ed0-ed9 f20-f29 1040-1049 1090-1099 1369-1371 17e0-17e9 1810-1819 1946-194f "
    "19d0-19da 1a80-1a89 1a90-1a99 1b50-1b59 1bb0-1bb9 1c40-1c49 1c50-1c59 2070 2074-2079 2080-2089 "
    "2460-2473 2474-249b 24ea-24ff 2776-2793 a620-a629 a8d0-a8d9 a900-a909 a9d0-a9d9 a9f0-a9f9 aa50-aa59 "
    "abf0-abf9 ff10-ff19 104a0-104a9 10a40-10a43 10d30-10d39 10d40-10d49 10e60-10e68 11052-1105a "
    "11066-1106f 110f0-110f9 11136-1113f 111d0-111d9 112f0-112f9 11450-11459 114d0-114d9 11650-11659 "
    "116c0-116c9 116d0-116e3 11730-11739 118e0-118e9 11950-11959 11bf0-11bf9 11c50-11c59 11d50-11d59 "
    "11da0-11da9 11de0-11de9 11f50-11f59 16130-16139 16a60-16a69 16ac0-16ac9 16b50-16b59 16d70-16d79 "
    "1ccf0-1ccf9 1d7ce-1d7ff 1e140-1e149 1e2f0-1e2f9 1e4f0-1e4f9 1e5f1-1e5fa 1e950-1e959 1f100-1f10a "
    "1fbf0-1fbf9"
)

# what is not seen, or only marks the character before it: between digits it divides nothing
UNSEEN = _ranges(
    "ad 300-36f 483-489 61c 115f-1160 17b4-17b5 180b-180f 1ab0-1aff 1dc0-1dff 200b-200f 202a-202e "
    "2060-206f 20d0-20ff 3164 fe00-fe0f fe20-fe2f feff ffa0 e0020-e007f e0100-e01ef"
)
BLANK = _ranges("a0 1680 2000-200a 2028-2029 202f 205f 2800 3000")  # blanks beyond ASCII
HYPHEN = _ranges("2010-2015 2212 2e3a-2e3b 30fb 30fc fe58 fe63 ff0d b7 2022 ff0e ff0f 2044 2215")

AT = "@" + _ranges("fe6b ff20")

__all__ = ["AT", "BLANK", "DIGIT", "HYPHEN", "LETTER", "UNSEEN"]
