from orbital_train.cluster.failure_policy import Failure, FailurePolicy, GiveUp, Recover, Way, after_loss
from orbital_train.cluster.patience import Patience


def died(position: int) -> Failure:
    return Failure(problem="a worker died", position=position)


def test_a_run_that_gets_further_recovers_for_ever():
    policy = FailurePolicy(vain=2)
    assert [policy.on(died(position)) for position in range(100)] == [Recover()] * 100


def test_a_run_that_gets_no_further_is_given_up():
    policy = FailurePolicy(vain=3)
    assert [policy.on(died(position)) for position in (7, 7, 9, 9)] == [Recover()] * 4
    assert policy.on(died(9)) == GiveUp("a worker died; 3 times in a row without getting further")


def test_too_little_memory_is_given_up_sooner():
    policy = FailurePolicy(vain=10, vain_memory=2)
    short = Failure(problem="too little memory", position=5, out_of_memory=True)
    assert policy.on(short) == Recover()
    assert policy.on(short) == GiveUp("too little memory; 2 times in a row without getting further")


def test_what_would_happen_again_is_not_tried_again():
    wrong = Failure(problem="a worker failed: ValueError: no", position=5, is_input=True)
    assert FailurePolicy().on(wrong) == GiveUp("a worker failed: ValueError: no")


def test_patience_grows_with_the_slowest_answer():
    patience = Patience(floor_s=10.0, factor=20.0)
    assert patience.limit_s == 10.0
    patience.answered(0.1)
    assert patience.limit_s == 10.0
    patience.answered(3.0)
    patience.answered(1.0)
    assert patience.limit_s == 60.0


def test_how_a_run_goes_on_depends_on_who_is_left():
    assert [after_loss(survivors) for survivors in (None, 2, 0)] == [Way.REPLAY, Way.DROPOUT, Way.RESTART]
