"""The contestants, one short file each: `fetch(job, got)`, written the way a careful person writes it today.

Each file runs in a process of its own, started by `launch.py` or `launch.cjs`, with the interpreter that has
its package; nothing imports it from here. Its name is the contestant's, `-` written as `_`.
"""
