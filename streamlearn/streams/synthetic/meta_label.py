"""The meta-label generator: label sets from priors and pairwise dependencies, features from a binary generator.

Source: Read, Bifet, Holmes and Pfahringer, *Scalable and efficient multi-label classification for evolving data
streams* (Machine Learning 88, 2012), section 5.1. As there, a label set is built label by label from priors and
conditional probabilities, and each attribute belongs to a combination of labels: it takes its value from a positive
example of a binary generator where the row's labels contain the combination, else from a negative one. Conditional
probabilities are kept as symmetric factors, and the probabilities that labels are drawn with are fitted so that every
label is as frequent as its prior says, for any dependencies. The binary generator has Gaussians around random
centres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

LABELS = 10
ATTRIBUTES = 30
CARDINALITY = 2.0
DEPENDENT_SHARE = 0.5
CENTRES = 2
NOISE = 0.8
SINGLE_SHARE = 0.7
GREATEST_PROBABILITY = 0.95
FITTING_ROWS = 800
FITTING_STEPS = 12


@dataclass(frozen=True, slots=True)
class Concept:
    """What rows are drawn from at one time.

    Attributes
    ----------
    priors:
        Probability of each label, 0 for an absent one; they sum to the mean number of labels.
    lifts:
        ``lifts[j][k]`` is the factor by which label k makes label j likelier, symmetric; 1 is independent.
    combinations:
        The combination of labels that each attribute belongs to.
    centres:
        ``centres[sign][centre][attribute]``, the means of the negative and the positive binary examples.
    weights:
        The probabilities that labels are drawn with, before the factors.
    """

    priors: list[float]
    lifts: list[list[float]]
    combinations: list[tuple[int, ...]]
    centres: list[list[list[float]]]
    weights: list[float]

    def draw_labels(self, random: Random) -> list[int]:
        """Return a label set, sorted: a first label by its weight, then every other one in random order."""
        labels = range(len(self.priors))
        first = random.choices(labels, self.weights)[0]
        present = [first]
        others = [label for label in labels if label != first]
        random.shuffle(others)
        for label in others:
            probability = self.weights[label]
            for other in present:
                probability *= self.lifts[label][other]
            if random.random() < min(probability, GREATEST_PROBABILITY):
                present.append(label)
        return sorted(present)

    def draw_values(self, random: Random, present: list[int]) -> list[float]:
        """Return the attributes of a row with these labels, rounded to three decimals."""
        negative, positive = (random.choice(centres) for centres in self.centres)
        known = set(present)
        return [
            round(random.gauss(positive[index] if known.issuperset(combination) else negative[index], NOISE), 3)
            for index, combination in enumerate(self.combinations)
        ]

    def fit_weights(self, seed: int) -> Concept:
        """Return the concept with weights that make every label as frequent as its prior says."""
        concept = replace(self, weights=list(self.priors))
        for _ in range(FITTING_STEPS):
            random = Random(seed)
            counts = [0] * len(self.priors)
            for _ in range(FITTING_ROWS):
                for label in concept.draw_labels(random):
                    counts[label] += 1
            for label, prior in enumerate(self.priors):
                if prior > 0.0:
                    concept.weights[label] *= prior * FITTING_ROWS / max(counts[label], 1)
        return concept


def new_concept(random: Random) -> Concept:
    """Return a concept with random priors, dependencies and features."""
    concept = Concept(_new_priors(random), _new_lifts(random), [], [], [])
    return _with_features(random, concept.fit_weights(random.randrange(1 << 30)))


def with_priors(random: Random, concept: Concept) -> Concept:
    """Return the concept with other priors for the labels that are present."""
    priors = _new_priors(random)
    return with_present(random, replace(concept, priors=priors), [prior > 0.0 for prior in concept.priors])


def with_dependencies(random: Random, concept: Concept) -> Concept:
    """Return the concept with other dependencies between the same labels with the same priors."""
    return replace(concept, lifts=_new_lifts(random)).fit_weights(random.randrange(1 << 30))


def with_features(random: Random, concept: Concept) -> Concept:
    """Return the concept with other attributes for the same labels."""
    return _with_features(random, concept)


def with_present(random: Random, concept: Concept, present: list[bool]) -> Concept:
    """Return the concept with some of its labels only, and the same mean number of labels."""
    kept = [prior if is_present else 0.0 for prior, is_present in zip(concept.priors, present, strict=True)]
    priors = [prior * CARDINALITY / sum(kept) for prior in kept]
    return replace(concept, priors=priors).fit_weights(random.randrange(1 << 30))


def _new_priors(random: Random) -> list[float]:
    weights = [random.uniform(0.2, 1.8) for _ in range(LABELS)]
    return [weight * CARDINALITY / sum(weights) for weight in weights]


def _new_lifts(random: Random) -> list[list[float]]:
    lifts = [[1.0] * LABELS for _ in range(LABELS)]
    for label in range(LABELS):
        for other in range(label):
            if random.random() < DEPENDENT_SHARE:
                lift = random.uniform(2.0, 5.0) if random.random() < 0.5 else random.uniform(0.0, 0.3)
                lifts[label][other] = lifts[other][label] = lift
    return lifts


def _with_features(random: Random, concept: Concept) -> Concept:
    """Return the concept with an attribute for every label, and others for one or two labels of a random label set."""
    combinations: list[tuple[int, ...]] = [(label,) for label in range(LABELS)]
    while len(combinations) < ATTRIBUTES:
        present = concept.draw_labels(random)
        size = 1 if random.random() < SINGLE_SHARE else 2
        combinations.append(tuple(sorted(random.sample(present, min(size, len(present))))))
    random.shuffle(combinations)
    signs = [random.choice((-1.0, 1.0)) for _ in range(ATTRIBUTES)]
    centres = [
        [[side * sign * random.uniform(0.3, 1.5) for sign in signs] for _ in range(CENTRES)] for side in (-1.0, 1.0)
    ]
    return replace(concept, combinations=combinations, centres=centres)
