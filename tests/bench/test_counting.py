"""The comparison within one process: both servers answer everything, and have their turns."""

from ci.bench.counting import costs


async def test_every_kind_of_turn_is_counted() -> None:
    found = await costs(rounds=2, turns=2)
    assert len(found) == 5
    for cost in found:
        assert len(cost.ratios) == 2
        assert cost.without > 0
        assert cost.counted > 0
        assert cost.name in str(cost)
