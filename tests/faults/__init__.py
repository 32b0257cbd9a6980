"""The table of faults: reads its cases, finds the test of each by its name, and writes docs/faults.md."""
