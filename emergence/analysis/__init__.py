"""From a table of per-seed scores to what can be said about it.

`series` holds the scores of a metric over scales. Each other file answers one
`question` about them: it computes, fills columns of the tables, says what it
found and draws it. `questions` lists and answers them all, `output` makes files
of the answers.
"""
