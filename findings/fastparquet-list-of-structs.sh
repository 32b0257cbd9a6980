#!/usr/bin/env bash
# guess:   a Parquet reader that cannot read a type of column says so, or leaves the column out.
# with:    fastparquet 2026.9.0, pandas 3.1.1; the file by pyarrow 26.0.1
# happens: a list of structs, such as the headers of a response, reads as None in every row, through pandas as well,
#          without an error or a word about the column: it looks as if nothing had been stored. A list of strings
#          beside it reads well.
# seen:
#   | pyarrow: tags [['x', 'y'], []], headers [[{'name': 'etag', 'value': '"1"'}], []]
#   | fastparquet: tags [['x', 'y'], []], headers [None, None], warnings that name a column 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir fastparquet==2026.9.0 pandas==3.1.1 pyarrow==26.0.1 || exit 2

cat >"$folder/probe.py" <<'PY'
import sys
import warnings

import pandas
import pyarrow
import pyarrow.parquet

field = pyarrow.struct({"name": pyarrow.string(), "value": pyarrow.string()})
schema = pyarrow.schema({"tags": pyarrow.list_(pyarrow.string()), "headers": pyarrow.list_(field)})
rows = [{"tags": ["x", "y"], "headers": [{"name": "etag", "value": '"1"'}]}, {"tags": [], "headers": []}]
table = pyarrow.Table.from_pylist(rows, schema)
pyarrow.parquet.write_table(table, sys.argv[1])

stored = pyarrow.parquet.read_table(sys.argv[1]).to_pydict()
print(f"pyarrow: tags {stored['tags']}, headers {stored['headers']}")
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    frame = pandas.read_parquet(sys.argv[1], engine="fastparquet")
columns = {name: [None if cell is None else list(cell) for cell in frame[name]] for name in frame}
about = sum("headers" in str(warning.message) for warning in warned)
print(f"fastparquet: tags {columns['tags']}, headers {columns['headers']}, warnings that name a column {about}")
PY
seen=$(timeout 100 "$folder/venv/bin/python" "$folder/probe.py" "$folder/rows.parquet")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
