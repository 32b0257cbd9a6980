"""A refresh: a list asked for again, on the condition that something has changed since an earlier run."""

from hurtle.refresh.refresh import Refresh

__all__ = ["Refresh"]
