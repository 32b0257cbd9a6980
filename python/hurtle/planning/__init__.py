"""What a list would take under given options, before anything is sent.

    source -> tally: counts per host -> estimate: seconds by the limits -> advice: sentences -> report.Plan

Pure but for the reading of the list.
"""

from hurtle.planning.assemble import plan
from hurtle.report.plan import HostPlan, Plan

__all__ = ["HostPlan", "Plan", "plan"]
