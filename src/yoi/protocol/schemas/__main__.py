"""Write events.schema.json and events.ts beside this file."""

from pathlib import Path

from yoi.protocol.schemas.generate import schema_text, typescript_text

HERE = Path(__file__).parent

if __name__ == "__main__":
    (HERE / "events.schema.json").write_text(schema_text(), encoding="utf-8")
    (HERE / "events.ts").write_text(typescript_text(), encoding="utf-8")
