"""The language of alert rules: PromQL's words over the metrics of a snapshot."""

from __future__ import annotations

from metalscope.alerts.expression.compiled import Expression, check, compile_expression
from metalscope.alerts.expression.errors import EvaluationError, ExpressionError

__all__ = ["EvaluationError", "Expression", "ExpressionError", "check", "compile_expression"]
