"""An error of a provider is a sentence, whatever its body looks like."""

from types import SimpleNamespace

import pytest

from yoi.workers.model_words import in_words


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            401,
            {"error": {"message": "Incorrect API key"}},
            "the provider of m answered 401 (the API key is missing or wrong): Incorrect API key",
        ),
        (418, "teapot", "the provider of m answered 418: teapot"),
        (503, None, "the provider of m answered 503 (the provider is overloaded or down)"),
        (400, [{"error": {"detail": "no"}}], "the provider of m answered 400 "
                                             "(it does not accept the request): no"),
        (418, {"other": 1}, "the provider of m answered 418"),
        (418, {"error": {"error": {"error": {"error": {"error": {"error": {"error": {
            "error": {"error": "deep"}}}}}}}}}, "the provider of m answered 418"),
    ],
)  # fmt: skip
def test_in_words(status, body, words):
    assert in_words(SimpleNamespace(status_code=status, model_name="m", body=body)) == words
