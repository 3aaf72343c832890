"""`yoi plugin`: write, check, review and enable plugins."""

import typer

app = typer.Typer(help="Write, check, review and enable plugins.", rich_markup_mode=None)


@app.command("x")
def x() -> None:
    pass
