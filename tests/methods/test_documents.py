"""The generated page says what the register says."""

import importlib.util
from pathlib import Path

import pytest

from ropewalk import methods, positions
from ropewalk.analysis import relative_maps

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def make_docs():
    specification = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_committed_pages_are_what_the_register_and_the_results_say(make_docs):
    for path, text in make_docs.pages().items():
        assert path.read_text("utf-8") == text, f"{path.name}: run `make docs`"


def test_a_page_without_its_marked_part_is_refused(make_docs, tmp_path):
    (tmp_path / "page.md").write_text("<!-- table: made -->\nold\n<!-- end of table -->\n")
    assert make_docs.filled(tmp_path / "page.md", {"table": "new\n"}) == (
        "<!-- table: made -->\nnew\n<!-- end of table -->\n"
    )
    with pytest.raises(SystemExit, match="must have one part called 'other'; found 0"):
        make_docs.filled(tmp_path / "page.md", {"other": "new"})


def test_the_check_sees_a_page_that_is_out_of_date(make_docs, monkeypatch, tmp_path, capsys):
    stale = tmp_path / "methods.md"
    stale.write_text(make_docs.page().replace("YaRN", "Yarn"), "utf-8")
    monkeypatch.setattr(make_docs, "PAGE", stale)
    monkeypatch.setattr("sys.argv", ["make_docs.py", "--check"])
    assert make_docs.main() == 1
    assert "run `make docs`" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["make_docs.py"])
    assert make_docs.main() == 0
    monkeypatch.setattr("sys.argv", ["make_docs.py", "--check"])
    assert make_docs.main() == 0


def test_every_name_has_a_line_and_a_section(make_docs):
    text = make_docs.page()
    for name in methods.names():
        assert f"| [`{name}`](#{name}) |" in text
        assert f"\n### {name}\n" in text
    for name in positions.names():
        assert f"| [`{name}`](#{name}-positions) |" in text
        assert f"\n### {name} positions\n" in text
    maps = text.split("## Inference maps: inference only")[1]
    for name in relative_maps.names():
        assert f"| [`{name}`](#{name}) |" in maps
        assert f"\n### {name}\n" in maps


def test_tables_have_as_many_cells_in_every_line(make_docs):
    for table in (make_docs.method_table(), make_docs.sampler_table(), make_docs.map_table()):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1


def test_an_exemption_is_told(make_docs, monkeypatch):
    monkeypatch.setattr(methods.get("none"), "exemptions", {"some_law": "A reason."})
    assert "**Exempt** from `some_law`: A reason." in make_docs.page()


def test_the_checked_label_names_files_that_exist():
    for cls in [*map(methods.get, methods.names()), *map(positions.get, positions.names())]:
        named = [word.strip(":,.;") for word in cls.sections()["Checked"].split() if word.startswith("tests/")]
        assert named
        for path in named:
            assert (ROOT / path).is_file(), f"{cls.name} is said to be checked in {path}"
