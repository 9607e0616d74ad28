"""`python -m hf_dsd` is the `hf-dsd` command."""

from .cli import app

app()
