"""Named experiments; `--config=NAME` reads the `config` of NAME.py."""
