"""Made-up people with known duplicates, to try the engine on and to measure it by."""

from glue_ml.synthetic.people import ENTITY_ID, KEY, make_people, split_truth

__all__ = ["ENTITY_ID", "KEY", "make_people", "split_truth"]
