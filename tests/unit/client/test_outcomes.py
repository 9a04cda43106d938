"""What became of a command can be read again by its message id."""

from decimal import Decimal

import pytest

from bus.testing import running
from catalog.contract import CreateProduct, DeleteProduct, ProductNotFound
from catalog.main import application


def test_the_outcome_is_the_reply_or_the_refusal_and_none_of_a_command_that_was_not_carried_out() -> None:
    with running(application) as client:
        made = client.call(CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3), message_id="made")
        assert client.outcome(CreateProduct, "made") == made
        assert client.outcome(CreateProduct, "another") is None
        with pytest.raises(ProductNotFound):
            client.call(DeleteProduct(product_id=9), message_id="refused")
        with pytest.raises(ProductNotFound, match="No product has this id"):
            client.outcome(DeleteProduct, "refused")
