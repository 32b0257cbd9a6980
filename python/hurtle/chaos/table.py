"""All cases, in the order of docs/faults.md."""

from hurtle.chaos.bodies import BODIES
from hurtle.chaos.frames import FRAMES
from hurtle.chaos.heads import HEADS
from hurtle.chaos.refused import REFUSED

CASES = (*REFUSED, *HEADS, *FRAMES, *BODIES)
