from __future__ import annotations

from pathlib import Path

from programs import measured, medians


def test_the_memory_program_reads_a_process_at_every_step(tmp_path: Path) -> None:
    content = measured("memory", tmp_path, "--operations=2000", "--names=20", "--distinct=1500")
    found = medians(content)
    assert found["pure: 1,500 distinct names, series kept"] == 1001
    assert found["pure: 1,500 distinct names, operations counted as other"] == 500
    assert found["pure: resident memory after 2,000 operations on 20 names"] > 0
    assert "pure: resident memory, growth over the next 20,000" in found
