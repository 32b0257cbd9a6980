"""Objects under a prefix of a bucket, by obstore: S3, Google Cloud Storage, Azure, and compatible stores.

Objects are read and written whole. Creating or replacing one can depend on what is there: it fails if that is
not what was expected. Nothing more is needed of a store.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hurtle.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ObjectStore

RETRIES = 10
RETRY_SECONDS = 60
"""A request that fails is retried this often, with growing pauses, and for this long."""

PIECE_BYTES = 5 << 20
PIECES_AT_ONCE = 4
"""A larger file is uploaded in pieces of the smallest size that S3 allows: each must arrive within 30 s."""

READERS = 8
"""Small objects to read at a time: nearly all of it is waiting."""

Version = dict[str, str]
"""Identifies one state of an object."""


class StoreError(Exception):
    """The store refused, or could not be reached. The message has its words, without secrets."""


class ChangedError(Exception):
    """An object is not what it was expected to be: somebody else has created or changed it."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object that was read.

    Attributes:
        data: Its content.
        version: Its state.
        modified: When it was written, by the store's clock.
    """

    data: bytes
    version: Version
    modified: datetime


class Objects:
    """The objects whose names begin with a prefix. Names are relative to it. Thread-safe.

    Credentials and other settings come from where the store's own tools look for them: AWS_*, GOOGLE_*,
    AZURE_*, the machine's role.

    Args:
        address: Scheme, bucket and prefix: `s3://bucket/prefix/`.

    Raises:
        ConfigError: It is not such an address, or contains what may be a secret.
    """

    def __init__(self, address: str) -> None:
        self.shown = _checked(address)
        self._address = self.shown.rstrip("/")
        self._store_: ObjectStore | None = None

    def require(self) -> None:
        """Check that stores can be used here.

        Raises:
            MissingExtraError: obstore is not installed.
            ConfigError: It cannot use the address or the environment's settings.
        """
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as error:
            raise MissingExtraError("remote", "an output in an object store") from error
        try:
            self._store_ = from_url(
                self._address,
                # No client_options: they would override those of the environment, such as AWS_ALLOW_HTTP.
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
            )
        except (BaseError, ValueError) as error:
            raise ConfigError(f"{self.shown} cannot be used: {_words(error)}", option="out") from error

    @property
    def _store(self) -> "ObjectStore":
        if self._store_ is None:
            self.require()
        assert self._store_ is not None
        return self._store_

    def names(self, below: str | None = None) -> Iterator[tuple[str, int]]:
        """Yield names and sizes in bytes, in no order.

        Args:
            below: Only those in this folder.

        Raises:
            StoreError: The objects could not be listed.
        """
        import obstore

        with self._translated(" cannot be listed"):
            for chunk in obstore.list(self._store, below):
                yield from ((meta["path"], meta["size"]) for meta in chunk)

    def read(self, name: str) -> Found | None:
        """Return an object; None: there is none.

        Raises:
            StoreError: The object could not be read.
        """
        import obstore

        with self._translated(f"{name} cannot be read"):
            try:
                got = obstore.get(self._store, name)
                return Found(bytes(got.bytes()), _version(got.meta), got.meta["last_modified"])
            except FileNotFoundError:
                return None

    def read_all(self, names: Iterable[str]) -> list[Found | None]:
        """Return several objects, in order.

        Raises:
            StoreError: One of them could not be read.
        """
        with ThreadPoolExecutor(READERS) as threads:
            return list(threads.map(self.read, names))

    def create(self, name: str, data: bytes) -> Version:
        """Create an object that does not exist.

        Args:
            name: The name of the object.
            data: Its content, which nobody else would write: it has a random number in it.

        Raises:
            ChangedError: The object exists, with a different content.
            StoreError: It could not be written; or it was written, and the answer was lost.
        """
        return self._put(name, data, "create")

    def replace(self, name: str, data: bytes, version: Version) -> Version:
        """Replace the content of an object, if its state is still this one.

        Raises:
            ChangedError: The object is gone, or in another state.
            StoreError: As `create`.
        """
        return self._put(name, data, version)

    def _put(self, name: str, data: bytes, mode: Any) -> Version:  # noqa: ANN401 - obstore's own types
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        how: PutMode = mode
        with self._translated(f"{name} could not be written"):
            try:
                return _version(obstore.put(self._store, name, data, mode=how, use_multipart=False))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                # A request that was retried may have succeeded the first time: then the object is ours.
                found = self.read(name)
                if found is None or found.data != data:
                    raise ChangedError(f"{self.shown}{name} was written by somebody else") from error
                return found.version

    def upload(self, name: str, path: Path) -> None:
        """Write a file to an object, completely or not at all.

        Raises:
            StoreError: The object could not be written, or has another size.
        """
        import obstore

        with self._translated(f"{name} could not be written"):
            obstore.put(self._store, name, path, chunk_size=PIECE_BYTES, max_concurrency=PIECES_AT_ONCE)
            found = obstore.head(self._store, name)["size"]
        if found != path.stat().st_size:
            raise StoreError(f"{self.shown}{name} has {found} bytes, but {path.stat().st_size} were sent")

    def download(self, name: str, path: Path) -> None:
        """Write an object to a file.

        Raises:
            StoreError: The object could not be read.
            OSError: The file could not be written.
        """
        import obstore

        with path.open("wb") as file, self._translated(f"{name} cannot be read"):
            for piece in obstore.get(self._store, name):
                file.write(piece)

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; a missing one is not an error.

        Raises:
            StoreError: The objects could not be removed.
        """
        import obstore

        if listed := list(names):
            with self._translated(": objects cannot be removed"), suppress(FileNotFoundError):
                obstore.delete(self._store, listed)

    def now(self) -> datetime:
        """Return the time by the store's clock, the one that sets every `modified`.

        Raises:
            StoreError: The store could not be asked.
        """
        name = f"clock-{uuid4().hex}"
        self.create(name, name.encode())
        try:
            found = self.read(name)
        finally:
            self.delete([name])
        if found is None:
            raise StoreError(f"{self.shown}{name} is gone")
        return found.modified

    @contextmanager
    def _translated(self, words: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError, PermissionError, ValueError) as error:
            raise StoreError(f"{self.shown}{words}: {_words(error)}") from error


def _checked(address: str) -> str:
    """Return an address in normal form: the scheme in lower case, a slash at the end.

    Raises:
        ConfigError: It has no bucket, or has a user, a password or a query, which would be shown.
    """
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    form = f"must be {scheme}://BUCKET/PREFIX/"
    if any(char in rest for char in "@?#"):
        raise ConfigError(
            f"out={scheme}://…: {form}; credentials come from the environment, not from the address",
            option="out",
        )
    # An escape names the same object as the character that it stands for, but would be shown as another one.
    if "%" in rest or any(part in ("", ".", "..") for part in rest.rstrip("/").split("/")):
        raise ConfigError(f"out={address!r}: {form}", option="out")
    return f"{scheme}://{rest.rstrip('/')}/"


def _version(meta: Any) -> Version:  # noqa: ANN401 - obstore's own types
    return {key: meta[key] for key in ("e_tag", "version") if meta.get(key)}


_BARE_HTTP = "BadScheme"


def _words(error: BaseException) -> str:
    """Return the first line of the library's message, without queries, which may contain a signature."""
    text = str(error)
    if _BARE_HTTP in text:
        return "the endpoint is plain http; set AWS_ALLOW_HTTP=true to allow that"
    first = next(iter(text.strip().splitlines()), type(error).__name__)
    return re.sub(r"(\w+://[^\s?]*)\?\S*", r"\1?…", first)
