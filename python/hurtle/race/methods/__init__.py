"""The contestants, one short file each: `fetch(job, got)`, written as a careful programmer writes it today.

`launch.py` or `launch.cjs` runs each file in its own process, with the interpreter that has its package;
nothing imports it from here. The file has the name of the contestant, with `-` written as `_`.
"""
