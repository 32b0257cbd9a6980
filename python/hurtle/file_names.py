"""Names for downloaded files: from a URL, a header or a column, made safe, each given once."""

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args
from urllib.parse import unquote, unquote_to_bytes, urlsplit

NameFrom: TypeAlias = Literal["url", "header"]
"""Where names come from: the last part of the URL's path, or Content-Disposition where there is one."""

NAME_PLACES: tuple[NameFrom, ...] = get_args(NameFrom)

INDEX = "index.html"
"""The name for a URL whose path ends in a slash, as wget has it."""

MOST_BYTES = 180
"""The longest name in UTF-8: file systems allow 255 bytes, and a number may be added."""

_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of characters that are not seen, or change how those around them are seen."""

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""Names of devices on Windows. Source: "Naming Files, Paths, and Namespaces", Microsoft."""

_PARAMETER = re.compile(r';\s*([\w!#$&+^`|~-]+\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"\s]*)')


def safe_name(text: str) -> str:
    r"""Return a name for one file in a folder, whatever the text is: never hidden, a path or a device.

    Example:
        >>> safe_name("../../etc/passwd"), safe_name("a:b\nc.txt "), safe_name("..")
        ('__.._etc_passwd', 'a_b_c.txt', '_')
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    visible = ("_" if unicodedata.category(char) in _INVISIBLE else char for char in text)
    name = _UNSAFE.sub("_", "".join(visible)).strip(" ").rstrip(". ")
    if name.startswith("."):
        name = "_" + name.lstrip(".")
    if not name.strip("_. "):
        name = "_"
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    return _shortened(name)


def _shortened(name: str) -> str:
    stem, extension = _split(name)
    if len(extension.encode()) > MOST_BYTES // 2:
        stem, extension = name, ""
    room = MOST_BYTES - len(extension.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + extension


def _split(name: str) -> tuple[str, str]:
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - no path
    if stem.endswith(".tar"):
        stem, extension = stem.removesuffix(".tar"), ".tar" + extension
    return stem, extension


def numbered(name: str, index: int) -> str:
    """Return a name with the position of its row.

    Example:
        >>> numbered("data.tar.gz", 7), numbered("README", 0)
        ('data-7.tar.gz', 'README-0')
    """
    stem, extension = _split(name)
    return f"{stem}-{index}{extension}"


def name_of_url(url: str) -> str:
    """Return the name for a URL: the last part of its path, or INDEX.

    Example:
        >>> name_of_url("https://a.example/x/my%20file.csv?page=2#top"), name_of_url("https://a.example")
        ('my file.csv', 'index.html')
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    last = path.rpartition("/")[2]
    return safe_name(unquote(last)) if last else INDEX


def name_of_header(value: str | None) -> str | None:
    r"""Return the name that a Content-Disposition gives, made safe; None: it gives none.

    Source: RFC 6266, sections 4.1 to 4.3; RFC 8187, section 3.2.

    Example:
        >>> name_of_header('attachment; filename="a.csv"'), name_of_header("inline")
        ('a.csv', None)
        >>> name_of_header("attachment; filename=a.csv; filename*=UTF-8''%e2%82%ac%20rates")
        '€ rates'
    """
    found: dict[str, str] = {}
    for name, text in _PARAMETER.findall(value or ""):
        found.setdefault(name.lower(), text)
    extended = _decoded(found.get("filename*", ""))
    plain = found.get("filename", "")
    if plain.startswith('"'):
        plain = re.sub(r"\\(.)", r"\1", plain[1:-1])
    chosen = extended or plain
    # A server that sends a path means its last part.
    last = re.split(r"[\\/]", chosen)[-1]
    return safe_name(last) if last.strip(" .") else None


def _decoded(text: str) -> str:
    charset, _, rest = text.partition("'")
    encoded = rest.partition("'")[2]
    if charset.lower() not in ("utf-8", "iso-8859-1") or not encoded:
        return ""
    return unquote_to_bytes(encoded.encode("utf-8", "replace")).decode(charset, "replace")


class FileNames:
    """The names of the files of one download. What a row is called does not depend on when it arrives.

    Memory: a hash for each row, and the names that their URLs do not say. `see` and `of` may be called from
    different threads.

    Args:
        name_from: Where names come from.
        column: The key of `meta` that has the name of a row, if it has one.
    """

    def __init__(self, name_from: NameFrom = "url", column: str | None = None) -> None:
        self._from_header = name_from == "header"
        self._column = column
        self._taken: set[int] = set()
        self._others: dict[int, str] = {}
        self._seen = 0

    def see(self, index: int, url: str, meta: object) -> None:
        """Give a row its name. Called for every row, in the order of the input.

        Args:
            index: The position of the row.
            url: Its URL.
            meta: Its `meta`.
        """
        of_url = name_of_url(url)
        name = self._of_column(meta) or of_url
        if self._from_header:
            # Nobody knows what headers will say: a number tells the rows apart.
            name = numbered(name, index)
        else:
            while (key := _key(name)) in self._taken:
                name = numbered(name, index)
            self._taken.add(key)
        if name != of_url:
            self._others[index] = name
        self._seen = index + 1

    def _of_column(self, meta: object) -> str | None:
        if self._column is None or not isinstance(meta, Mapping):
            return None
        value = meta.get(self._column)
        return safe_name(str(value)) if value not in (None, "") else None

    def of(self, index: int, url: str, disposition: str | None) -> str:
        """Return the name of a row.

        Args:
            index: The position of the row.
            url: Its URL.
            disposition: The Content-Disposition of its response.
        """
        if self._from_header and (name := name_of_header(disposition)) is not None:
            return numbered(name, index)
        if index in self._others or index < self._seen:
            return self._others.get(index) or name_of_url(url)
        return numbered(name_of_url(url), index)


def _key(name: str) -> int:
    """Return what two names have in common that are one file where the case of letters does not matter."""
    return hash(unicodedata.normalize("NFC", name.casefold()))
