"""The class that owns the engine, and the code that moves rows: a thread feeds a job, iterators drain it."""

from hurtle.client.engine_client import EngineClient
from hurtle.client.feed import AsyncInput, Input
from hurtle.client.precautions import Precautions
from hurtle.client.rows import RowReorder
from hurtle.client.transfer import Transfer

__all__ = ["AsyncInput", "EngineClient", "Input", "Precautions", "RowReorder", "Transfer"]
