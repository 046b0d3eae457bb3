"""From a table of per-seed scores to what can be said about it.

`series.analyze` computes, `rows` puts the results in tables and files,
`findings` says them in words, `charts` draws them and `pages` makes them
sections of the report.
"""
