"""A refresh: fetch a list again, but download only what has changed since an earlier run."""

from hurtle.refresh.refresh import Refresh

__all__ = ["Refresh"]
