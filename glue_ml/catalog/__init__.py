"""Tables of a Glue Data Catalog, or of a path, as DataFrames; and DataFrames as tables."""

from glue_ml.catalog.tables import read_tables
from glue_ml.catalog.writing import FORMATS, write_table

__all__ = ["FORMATS", "read_tables", "write_table"]
