"""The one class over the engine, and what moves rows in and out of a job: a thread in, iterators out."""

from hurtle.client.engine_client import EngineClient
from hurtle.client.feed import AsyncInput, Input
from hurtle.client.precautions import Precautions
from hurtle.client.rows import RowReorder
from hurtle.client.transfer import Transfer

__all__ = ["AsyncInput", "EngineClient", "Input", "Precautions", "RowReorder", "Transfer"]
