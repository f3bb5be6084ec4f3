"""Our layers compute what torch.nn's do, whatever the options and on either engine."""

import pytest
from drop_in_cases import TOLERANCE, Case, call, cases, furthest, layers

CASES = cases()


def test_the_grid_has_at_least_two_hundred_configurations():
    assert len(set(CASES)) >= 200


@pytest.mark.parametrize("engine", ["torch", "reference"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_states_and_all_gradients_equal_those_of_torch_nn(case: Case, engine: str):
    theirs, ours = layers(case, engine)
    difference, where = furthest(call(case, ours), call(case, theirs))
    assert difference <= TOLERANCE[case.dtype], where
