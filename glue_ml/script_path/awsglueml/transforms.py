"""`from awsglueml.transforms import FindMatches, FindIncrementalMatches`, as scripts for AWS Glue have it."""

from glue_ml.awsglueml.transforms import FindIncrementalMatches, FindMatches

__all__ = ["FindIncrementalMatches", "FindMatches"]
