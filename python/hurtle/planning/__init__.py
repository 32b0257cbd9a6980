"""Estimate how long a list takes under given options, before anything is sent.

    source -> tally: counts per host -> estimate: seconds by the limits -> advice: sentences -> report.Plan

Pure functions, except that the list is read.
"""

from hurtle.planning.assemble import plan
from hurtle.report.plan import HostPlan, Plan

__all__ = ["HostPlan", "Plan", "plan"]
