"""What a model costs where the operator did not say: from the list that pydantic-ai comes with.

The list is a file of the installed wheel (genai-prices); nothing is fetched, so it is as new as
that.
"""

from dataclasses import replace
from decimal import Decimal

from yoi.errors import WorkerError
from yoi.workers.budget import Budget, Price
from yoi.workers.profile import ModelChoice, WorkerProfile

_MILLION = 1_000_000


def priced(profile: WorkerProfile) -> Budget:
    """Return the budget of `profile`, with a price where it bounds money.

    Of several models it is the highest. Raises WorkerError `worker.profile` where one has no price.
    """
    budget = profile.budget
    if budget.money is None or budget.price is not None:
        return budget
    found: list[Price] = []
    for choice in (profile.model, *profile.fallbacks):
        price = listed_price(choice)
        if price is None:
            raise WorkerError(
                "worker.profile",
                f"money_per_day needs the price of {choice.model}, which is in no list here",
                hint='price = { input = "3", output = "15" }   # of a million tokens',
            )
        found.append(price)
    highest = Price(max(one.input for one in found), max(one.output for one in found))
    return replace(budget, price=highest)


def listed_price(choice: ModelChoice) -> Price | None:
    """Return what a million tokens of the model cost at most, in US dollars; None if not listed.

    A model at an address of its own is another one, whatever its name is.
    """
    provider, _, name = choice.model.partition(":")
    if choice.base_url is not None or not name:
        return None
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    try:
        # A long request is dearer a token at some providers: these are as long as can be.
        read = calc_price(Usage(input_tokens=_MILLION), name, provider_id=provider)
        both = calc_price(
            Usage(input_tokens=_MILLION, output_tokens=_MILLION), name, provider_id=provider
        )
    except LookupError:
        return None
    cost, written = Decimal(read.total_price), Decimal(both.total_price - read.total_price)
    return Price(cost, written) if cost > 0 and written > 0 else None
