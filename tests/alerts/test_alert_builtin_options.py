"""Built-in rules, which are not validated where they are made, would pass as one's own."""

from __future__ import annotations

import pytest

from metalscope.alerts.builtin import builtin_rules
from metalscope.options import AlertRuleOptions, AlertsOptions

RULES = builtin_rules(AlertsOptions())


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_a_built_in_rule_is_one_that_could_stand_in_an_options_file(rule) -> None:
    said = rule.model_dump(mode="json")
    assert AlertRuleOptions(**said) == AlertRuleOptions(**rule.model_dump())
    assert AlertRuleOptions(**said).model_dump() == rule.model_dump()
