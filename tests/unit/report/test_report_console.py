import io

from rich.console import Console

from orbital_train.report.console import console_table
from orbital_train.report.runs import Comparison


def test_the_table_has_the_rows_of_the_report(comparison: Comparison):
    console = Console(file=io.StringIO(), width=160)
    console.print(console_table(comparison))
    text = console.file.getvalue()
    assert "link_aware" in text
    assert [line.split("│")[2].strip() for line in text.splitlines() if "│ link bytes" in line] == ["92.0 GB"]
    assert [line.split("│")[4].strip() for line in text.splitlines() if "│ merges" in line] == ["0"]
