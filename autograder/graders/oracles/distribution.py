"""How graders judge random draws: by how unlikely it is that the right distribution gives such counts."""

from collections.abc import Mapping
from math import exp, inf, log

FALSE_ALARM = 1e-8  # for one comparison; a submission is compared a handful of times


def fits(counts: Mapping[int, int], probabilities: Mapping[int, float]) -> bool:
    """Whether the counts may well come from `probabilities` (by id, their sum 1)."""
    return chance_at_most(counts, probabilities) >= FALSE_ALARM


def chance_at_most(counts: Mapping[int, int], probabilities: Mapping[int, float]) -> float:
    """An upper bound on the chance of counts that diverge this much or more, whatever the number of draws.

    With n draws from k outcomes and D the divergence of the frequencies from the probabilities in nats, it is
    exp(-nD) (e nD / (k - 1))^(k - 1) once nD > k - 1 (Agrawal 2020, Finite-Sample Concentration of the Multinomial in
    Relative Entropy). No approximation for large counts is involved.
    """
    n, k = sum(counts.values()), len(probabilities)
    if any(count and not probabilities.get(i) for i, count in counts.items()):
        return 0.0
    nd = sum(c * log(c / (n * probabilities[i])) for i, c in counts.items() if c)
    if nd == inf or k < 2 or nd <= k - 1:
        return 1.0
    return exp((k - 1) * (1 + log(nd / (k - 1))) - nd)
