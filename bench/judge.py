"""Whether a run supports a claim: by its own figures, and by their interval where there is one."""
import random
import statistics

HOLDS, MISSED, OPEN = "holds", "**missed**", "not supported by this run's interval"


def ratio_interval(above, below, paired=True, rounds=1000, seed=1):
    """Median of `above` / median of `below` and its 95 % interval.

    A bootstrap. Where the two took turns, pairs are drawn, since neighbours in time share what
    disturbs them; else each list by itself.
    """
    drawn = random.Random(seed)
    assert not paired or len(above) == len(below)
    ratios = []
    for _ in range(rounds):
        first = [drawn.randrange(len(above)) for _ in above]
        second = first if paired else [drawn.randrange(len(below)) for _ in below]
        ratios.append(statistics.median([above[i] for i in first]) /
                      statistics.median([below[i] for i in second]))
    ratios.sort()
    return (statistics.median(above) / statistics.median(below), ratios[int(0.025 * rounds)],
            ratios[int(0.975 * rounds) - 1])


def at_most(value, low, high, limit):
    """A figure that is to stay at or below a limit."""
    if high <= limit:
        return HOLDS
    if low > limit:
        return MISSED
    return OPEN


def at_least(value, low, high, limit):
    """A figure that is to reach a limit."""
    if low >= limit:
        return HOLDS
    if high < limit:
        return MISSED
    return OPEN


def framework_adds(record, bare_median):
    """Ours against the bare loop: within 1 % of the median round trip, or 50 ns, the larger."""
    limit = max(0.01 * bare_median, 50.0)
    return limit, at_most(record["difference_ns"], record["difference_low"],
                          record["difference_high"], limit)


def costs_more(record):
    """The baseline of other monitors: above the bare loop by more than the interval."""
    return at_least(record["difference_ns"], record["difference_low"], record["difference_high"],
                    1e-9)
