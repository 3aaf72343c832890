"""A `Redactor` for hosts that grant no secrets."""


class NoRedaction:
    def redact(self, plugin: str, text: str) -> str:
        return text
