"""Tickets as they are written: texts become words and pairs of words, without a feature pipeline.

python text_features.py
"""

from __future__ import annotations

from streamlearn import LabelHierarchyClassifier

TICKETS = [
    ({"title": "Refund still not here", "body": "You promised a refund ten days ago."}, {"refund"}),
    ({"title": "App crashes at login", "body": "Since the update it closes when I log in."}, {"crash", "login"}),
    ({"title": "Forgot my password", "body": "The reset mail never arrives, I cannot log in."}, {"login"}),
    ({"title": "Charged twice", "body": "Two payments for one order, please refund one."}, {"refund", "payment"}),
]


def main() -> None:
    """Learn the tickets and tag two new ones."""
    model = LabelHierarchyClassifier(text_fields=["title", "body"])
    for _ in range(20):
        for ticket, labels in TICKETS:
            model.learn_one(ticket, labels)
    for ticket in ({"title": "Refund for a payment"}, {"title": "It crashes since the update"}):
        print(ticket["title"], "->", sorted(model.predict(ticket).labels))


if __name__ == "__main__":
    main()
