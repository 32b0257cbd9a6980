"""Text for a terminal: nothing in it moves the cursor, changes colours or reverses other text."""


def printable(text: str) -> str:
    r"""Return text with its control and bidi characters escaped; line ends stay.

    Lists and servers decide what stands in URLs and messages. Source: Unicode Standard Annex 9, and
    CVE-2021-42574 on what bidi characters hide.

    Example:
        >>> printable("a\x1b[2Jb")
        'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
