"""Tables as people have them -> rows of numbers a network can take."""

from visus.data.tables.columns import ColumnKind, ColumnWarning, infer_columns
from visus.data.tables.imputation import Imputer
from visus.data.tables.preprocessor import TablePreprocessor

__all__ = ["ColumnKind", "ColumnWarning", "Imputer", "TablePreprocessor", "infer_columns"]
