"""From a table of per-seed scores to what can be said about it.

`compute.analyze` computes the results that `series` holds, `rows` puts them in
tables, `findings` says them in words, `output` makes files of both, `charts`
draws them and `pages` makes them sections of the report.
"""
