from __future__ import annotations

from programs import measured, medians


def test_the_fatigue_program_counts_the_messages_of_each_incident(tmp_path) -> None:
    content = measured(
        "alert_fatigue", tmp_path, "--days=0.06", "--sets=open", "--shapes=clean,error rate"
    )
    found = medians(content)
    assert found["metalscope, open: incidents told of"] == 1
    assert found["metalscope, open: messages an incident"] <= 2
    assert found["metalscope, open: messages of nothing, a simulated day"] == 0
    assert "the original's rules, open: messages an incident" in found
