"""Tables as numbers: scikit-learn's own encoders, closed forms, and tables that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.data.table import (
    MOST_CATEGORIES,
    TableParts,
    encoded,
    read_table_parts,
    unknown_values,
)
from pipeline.data.table_file import read_cells
from pipeline.errors import DataError

HEAD = "age,town,paid,kind"


def write(path: Path, *lines: str, head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def many(path: Path, *, num: int = 120) -> Path:
    generator = np.random.default_rng(0)
    rows = [
        f"{generator.normal(40, 10):.3f},{generator.choice(['Ulm', 'Bonn', ''])},"
        f"{generator.choice(['1', '2', 'NA'])},{'yes' if i % 3 else 'no'}"
        for i in range(num)
    ]
    return write(path, *rows)


def parts(path: Path, **changes: object) -> TableParts:
    given = {
        "target": "kind",
        "categorical": [],
        "ignore": [],
        "test_fraction": 0.25,
        "validation_size": 0.2,
        "seed": 0,
    }
    return read_table_parts(path, **given | changes)  # type: ignore[arg-type]


def test_numbers_and_categories_are_those_of_scikit_learn(tmp_path: Path) -> None:
    path = many(tmp_path / "people.csv")
    found = parts(path)
    assert found.class_names == ("no", "yes")
    assert (len(found.train), len(found.val), len(found.test)) == (72, 18, 30)
    assert found.train.images.shape == (72, 1, 1, 1 + 3 + 2) and not found.notes
    whole = read_cells(path)
    numbers = encoded(whole, found.columns)[:, 0, 0]
    age = np.array([float(v) for v in whole["age"] if v is not None])
    where = [int(np.argmin(np.abs(numbers[:, 0] - row[0, 0, 0]))) for row in found.train.images]
    scaler = StandardScaler().fit(age[where][:, None])
    np.testing.assert_allclose(numbers[:, 0], scaler.transform(age[:, None])[:, 0], atol=1e-5)
    town = np.array([v or "" for v in whole["town"]])[:, None]
    np.testing.assert_array_equal(numbers[:, 1:4], OneHotEncoder().fit_transform(town).toarray())
    np.testing.assert_array_equal(numbers[:, 5], [v is None for v in whole["paid"]])
    missing = [v is None for v in whole["paid"]]
    np.testing.assert_allclose(numbers[missing, 4], 0.0)  # the mean


def test_the_statistics_are_of_the_training_part_alone(tmp_path: Path) -> None:
    found = parts(many(tmp_path / "people.csv"))
    train, test = (part.images[:, 0, 0, 0] for part in (found.train, found.test))
    assert train.mean() == pytest.approx(0, abs=1e-6) and train.std() == pytest.approx(1, abs=1e-6)
    assert abs(test.mean()) > 1e-3


def test_a_column_of_numbers_can_be_categories_and_one_can_be_ignored(tmp_path: Path) -> None:
    found = parts(many(tmp_path / "people.csv"), categorical=["paid"], ignore=["town"])
    assert [(c.name, c.kind, c.categories) for c in found.columns] == [
        ("age", "number", ()),
        ("paid", "category", ("", "1", "2")),
    ]


def test_a_value_that_training_does_not_have_is_named_and_gives_zeros(tmp_path: Path) -> None:
    columns = parts(many(tmp_path / "people.csv"), ignore=["paid"]).columns
    rows = read_cells(write(tmp_path / "new.csv", "40,Rom", "41,Ulm", head="age,town"))
    assert unknown_values(rows, columns) == [["town=Rom"], []]
    assert encoded(rows, columns)[0, 0, 0, 1:].tolist() == [0, 0, 0]
    assert encoded(rows, columns)[1, 0, 0, 1:].tolist() == [0, 0, 1]


def test_rare_values_of_a_long_column_count_as_unknown(tmp_path: Path) -> None:
    lines = [f"{i % 70},x,{i % 2}" for i in range(210)] + ["3,x,0"] * 5
    path = write(tmp_path / "t.csv", *lines, head="code,same,kind")
    found = parts(path, categorical=["code"])
    (column,) = found.columns
    assert len(column.categories) == MOST_CATEGORIES and "3" in column.categories
    assert any("code has" in note and "most frequent" in note for note in found.notes)
    assert any("the column same has one value only" in note for note in found.notes)


def test_rows_without_a_class_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = many(tmp_path / "people.csv")
    path.write_text(path.read_text() + "40,Ulm,1,\n" * 3)
    found = parts(path)
    assert found.notes == ("note: 3 rows have no kind and were left out",)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_quotes_and_a_mark_of_the_encoding(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "t.csv"
    text = delimiter.join(["a", "b"]) + "\r\n" + delimiter.join([f'"x{delimiter}y"', " 2 "])
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    assert read_cells(path) == {"a": [f"x{delimiter}y"], "b": ["2"]}


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(
        {"a": [1.5, None, float("nan")], "b": ["x", None, "z"], "c": [1, 2, None]}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    assert read_cells(tmp_path / "t.parquet") == {
        "a": ["1.5", None, None],
        "b": ["x", None, "z"],
        "c": ["1", "2", None],
    }


REFUSED = {
    "no_file": (None, {}, "there is no such file"),
    "empty": ("", {}, "has no rows"),
    "names_only": (HEAD + "\n", {}, "has no rows"),
    "no_names": ("1,2\n3,4\n", {}, "first line has numbers only"),
    "twice": ("a,a\n1,2\n", {}, "two columns are called 'a'"),
    "ragged": ("a,b\n1,2\n1,2,3\n", {}, "line 3 has 3 values"),
    "latin": ("ü".encode("latin-1") + b"\n", {}, "is not UTF-8 text"),
    "target": (HEAD + "\n1,x,2,a\n", {"target": "sort"}, "no such column. It has age, town"),
    "ignore": (HEAD + "\n1,x,2,a\n", {"ignore": ["agee"]}, "data.ignore=agee"),
    "one_class": (HEAD + "\n1,x,2,a\n", {}, "has 1 different values"),
    "names_of_rows": (
        "x,kind\n" + "".join(f"{i},row {i}\n" for i in range(200)),
        {},
        "has 200 different values",
    ),
    "too_few": (HEAD + "\n1,x,2,a\n2,y,3,b\n", {}, "data.test_fraction is impossible"),
    "rare_class": (
        HEAD + "\n" + "1,x,2,a\n1,y,2,b\n2,x,1,b\n3,x,1,c\n",
        {"test_fraction": 0.5},
        "would take every example of class a, which has 1. Take a smaller part",
    ),
}


@pytest.mark.parametrize(("text", "changes", "said"), REFUSED.values(), ids=REFUSED)
def test_a_bad_table_is_refused_in_one_sentence(
    tmp_path: Path, text: str | bytes | None, changes: dict[str, object], said: str
) -> None:
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError) as caught:
        parts(path, **changes)
    assert said in str(caught.value)


def test_new_rows_need_the_columns_and_numbers_where_training_had_them(tmp_path: Path) -> None:
    columns = parts(many(tmp_path / "people.csv")).columns
    with pytest.raises(
        DataError, match=r"The column town is not there\. The model needs age, town"
    ):
        encoded({"age": ["1"]}, columns)
    with pytest.raises(DataError, match=r"The column age has 'old' in row 1"):
        encoded({"age": ["old"], "town": [None], "paid": [None]}, columns)


# Rows of a target that counts or measures: number of rows, different numbers, the step between.
MEASURED = {
    "every_row_another": (200, 200, 0.5),
    "a_fifth_of_the_rows": (400, 80, 0.5),
    "few_rows": (12, 12, 0.5),
    "few_rows_of_whole_numbers": (60, 60, 1),
    "many_whole_numbers": (1000, 101, 1),
    "with_an_exponent": (400, 80, 1e-9),
}


def table_of(path: Path, rows: int, different: int, step: float) -> Path:
    lines = [f"{i % 7},{step * (i % different)!r}" for i in range(rows)]
    return write(path, *lines, head="x,price")


@pytest.mark.parametrize(("rows", "different", "step"), MEASURED.values(), ids=MEASURED)
def test_a_target_that_measures_is_refused_with_the_way_out(
    tmp_path: Path, rows: int, different: int, step: float
) -> None:
    path = table_of(tmp_path / "t.csv", rows, different, step)
    with pytest.raises(DataError) as caught:
        parts(path, target="price")
    said = str(caught.value)
    assert said.startswith(f"data.target=price: has {different} different numbers in {rows} rows")
    assert f"such as {step * (different // 2)!r}. " in said
    assert "regression is not built: a target has 2 to 100 classes" in said
    assert said.endswith("add one with ranges of price, such as low, middle and high.")


NAMED_BY_NUMBERS = {
    "two_numbers_with_fractions": (40, 2, 0.5),
    "steps_of_a_half": (200, 20, 0.5),
    "twenty_whole_numbers": (200, 20, 1),
}


@pytest.mark.parametrize(
    ("rows", "different", "step"), NAMED_BY_NUMBERS.values(), ids=NAMED_BY_NUMBERS
)
def test_few_numbers_are_classes(tmp_path: Path, rows: int, different: int, step: float) -> None:
    found = parts(table_of(tmp_path / "t.csv", rows, different, step), target="price")
    assert [float(name) for name in found.class_names] == [step * i for i in range(different)]
    assert found.notes == ()


def test_many_whole_numbers_are_classes_with_a_note(tmp_path: Path) -> None:
    found = parts(table_of(tmp_path / "t.csv", 600, 60, 1), target="price")
    assert len(found.class_names) == 60
    (note,) = found.notes
    assert note.startswith("note: the 60 numbers of price are taken as classes without an order")


def test_a_number_that_is_the_same_or_missing_has_no_spread_of_rounding(tmp_path: Path) -> None:
    rows = [f"{'' if i % 5 == 0 else '0.1'},{i},{'ab'[i % 2]}" for i in range(40)]
    found = parts(write(tmp_path / "a.csv", *rows, head="price,other,kind"))
    values = encoded({"price": ["0.2"], "other": ["1"]}, found.columns)[0, 0, 0]
    np.testing.assert_allclose(values[0], 0.1, atol=1e-6)


def test_codes_with_an_underscore_are_no_numbers(tmp_path: Path) -> None:
    rows = [f"{i % 3}_{i % 2},{i},{'ab'[i % 2]}" for i in range(40)]
    found = parts(write(tmp_path / "a.csv", *rows, head="code,other,kind"))
    assert [column.kind for column in found.columns] == ["category", "number"]


def test_a_row_whose_values_are_all_missing_is_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1,x", ",", "", "3,y", head="age,town")
    assert read_cells(path) == {"age": ["1", None, "3"], "town": ["x", None, "y"]}


def test_a_quote_without_an_end_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '1,"x', *["2,y"] * 40_000, head="age,town")
    with pytest.raises(DataError, match=r"field larger than field limit .* not closed"):
        read_cells(path)


def test_a_line_is_counted_as_an_editor_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '1,"x\ny"', "3", head="age,town")
    with pytest.raises(DataError, match="line 4 has 1 values"):
        read_cells(path)
