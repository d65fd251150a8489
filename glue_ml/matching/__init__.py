"""The matching engine: learn from a table and labels on Spark, and give every row a match id."""

from glue_ml.matching.evaluation import Evaluation
from glue_ml.matching.explanation import Explanation
from glue_ml.matching.find_matches import FindMatches, FindMatchesModel, MatchResult
from glue_ml.matching.stages import Progress

__all__ = ["Evaluation", "Explanation", "FindMatches", "FindMatchesModel", "MatchResult", "Progress"]
