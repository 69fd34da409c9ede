"""The columns and rows of server-side tables, as ``kubectl get`` shows them (pkg/printers/internalversion)."""

from __future__ import annotations

from netkube.api.printing.table import row_conditions, table_columns, table_row

__all__ = ['row_conditions', 'table_columns', 'table_row']
