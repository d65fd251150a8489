"""glue-ml: the AWS Glue machine-learning transform API (FindMatches) on any Spark.

Importing this package needs the standard library only. The engine is in `glue_ml.matching`.
"""

__version__ = "0.1.0"
