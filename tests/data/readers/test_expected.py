"""The world's documents against what they are known to say: the share of the expected text that comes out.

Compared are runs of four letters, without markup and white space. A floor is what was measured when it was written,
less two hundredths; where it is low, the expected text holds what is not text here (addresses of links, figures of
charts, merged cells written twice).
"""

import importlib
import re
from collections import Counter

import pytest

FLOORS = {
    "docx": {"unit_test_formatting.docx": 0.73, "omml_frac_superscript.docx": 0.89, "omml_func_log.docx": 0.9,
             "equations.docx": 0.92, "omml_text_escapes_in_math.docx": 0.92},
    "pptx": {"powerpoint_sample.pptx": 0.81, "pptx_chart.pptx": 0.83},
    "xlsx": {"xlsx_02_sample_sales_data.xlsm": 0.66, "xlsx_03_chartsheet.xlsx": 0.47, "xlsx_comments.xlsx": 0.39,
             "xlsx_07_gap_tolerance_.xlsx": 0.63},
    "html": {"example_01.html": 0.88, "example_04.html": 0.7, "example_08.html": 0.74, "hyperlink_03.html": 0.58,
             "hyperlink_05.html": 0.77, "hyperlink_06.html": 0.72, "html_inline_group_in_table_cell.html": 0.75,
             "table_05.html": 0.94, "html_description_list.html": 0.95, "kvp_data_example.html": 0.91},
}  # fmt: skip
USUAL = 0.97


def runs(text: str) -> Counter[str]:
    letters = "".join(re.findall(r"\w", re.sub(r"<!--.*?-->", "", text).lower()))
    return Counter(letters[at : at + 4] for at in range(len(letters) - 3))


def recall(text: str, expected: str) -> float:
    wanted = runs(expected)
    return (runs(text) & wanted).total() / max(wanted.total(), 1)


@pytest.mark.parametrize("format", sorted(FLOORS))
def test_expected_text_comes_out(format, shared):
    measured = {}
    for path in sorted((shared / "messy" / "docling" / format / "sources").iterdir()):
        known = shared / "messy" / "docling-groundtruth" / format / "groundtruth" / f"{path.name}.md"
        if known.exists():
            reading = importlib.import_module(f"danlu.data.readers.{format}").read(path.read_bytes())
            measured[path.name] = recall(reading.text, known.read_text(encoding="utf-8"))
    assert len(measured) >= 5
    below = {name: share for name, share in measured.items() if share < FLOORS[format].get(name, USUAL)}
    assert not below


def test_the_measure_itself():
    assert recall("abcdef", "# abcdef <!-- x -->") == 1
    assert recall("abcd", "abcdefgh") == 0.2
