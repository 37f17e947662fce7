"""Console output → columns: progress lines, pairs of name and number, printed dictionaries.

A line is read for its pairs (``val_loss: 0.61``, ``train loss 0.52``, ``'loss': 0.69``), its epoch
and its step. A name without a part (``Loss``) belongs to the part that the line, or a headline
above it, names before it (``Test set: Average loss: 0.06``).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.diagnosis.readers.cells import Cell, number
from pipeline.diagnosis.readers.columns import MAX_ROWS, Table, table_of_rows, too_many
from pipeline.diagnosis.readers.epoch_bars import unrolled
from pipeline.diagnosis.readers.names import has_part, is_axis, is_known, part_of, role_of
from pipeline.errors import DataError

LONGEST_LINE = 5_000

_ANSI = re.compile(r"\x1b\[[0-9;?]{0,40}[A-Za-z]|\x1b\][^\x07\x1b\n]{0,200}\x07|\x08")
_NUMBER = r"[-+]?(?:\d++(?:[.,]\d*+)?|\.\d++)(?:[eE][-+]?\d++)?|[-+]?(?:nan|inf(?:inity)?)\b"
_THOUSANDS = r"\d{1,3}(?:,\d{3}){1,4}(?![\d,])"
_WORD = r"[A-Za-z_][A-Za-z_0-9/@.]*+"
_PAIR = re.compile(
    rf"(?<![A-Za-z_0-9/@.])(?P<name>{_WORD}(?:(?:[ -]|'s )(?!-){_WORD}){{0,3}}+)['\"]?"
    rf"(?:\s{{0,8}}[:=]\s{{0,8}}|\s{{1,8}})['\"]?(?P<value>{_NUMBER})"
    r"(?:\s?/\s?(?P<of>\d++))?(?P<percent>\s?%)?(?![\w:%])(?!\.\d)"
    rf"(?:\s?\(\s{{0,8}}(?P<mean>{_NUMBER})\s?\))?",
    re.IGNORECASE,
)
_EPOCH = re.compile(
    r"(?<!best )(?<!best_)\b(?:epoch|ep)\b['\"]?\s{0,8}[:=#]?\s{0,8}['\"]?[\[(]?\s{0,8}"
    rf"({_THOUSANDS}|"
    r"\d{1,15}+(?:\.\d{1,15}+)?)(?!%)(?:\s{0,8}(?:/|of)\s{0,8}\d{1,15})?",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\b(?:global_step|step|iter|iteration|batch|round)\b"
    rf"['\"]?\s{{0,8}}[:=#]?\s{{0,8}}[\[(]?\s{{0,8}}({_THOUSANDS}|\d{{1,15}})"
    r"|\[\s{0,8}(\d{1,15})\s{0,8}/\s{0,8}\d|^\[(\d{1,15})\]|^(\d{1,15}):\s",
    re.IGNORECASE,
)
# Keras' bar and tqdm's: done / all, then the bar.
_KERAS_BAR = re.compile(r"(?<![\d/])(\d{1,12})/(\d{1,12})\s{0,4}(?:\[[=>. ]{3}|\u2501|\s-\s)")
_TQDM_BAR = re.compile(r"(?::?\s{0,8}\d{1,3})?%\|.{0,200}?\|\s{0,4}(\d{1,12})/(\d{1,12})\s{0,4}\[")
# The example for ImageNet: ``Test: [ 10/196]  Loss 1.2 (1.3)``.
_VALIDATION = re.compile(r"\s{0,8}([A-Za-z]{1,12}):?\s{0,8}\[\s{0,8}\d{1,15}\s{0,8}/")
_PART = re.compile(r"[A-Za-z]+")


@dataclass
class _Reader:
    """The state between lines: epoch, the part that a headline names, and the rows so far.

    bar: the row of Keras' bar.  shown: those of the finished bars of this epoch.
    """

    rows: list[dict[str, Cell]] = field(default_factory=list)
    epoch: float | None = None
    part: str | None = None
    bar: dict[str, Cell] | None = None
    shown: dict[tuple[str, str] | None, dict[str, Cell]] = field(default_factory=dict)
    validation: dict[str, Cell] | None = None

    def take(self, line: str) -> None:
        """Read one line."""
        if "{" in line and (printed := _dictionary(line)):
            self.rows.append(printed)
            return
        found = _EPOCH.search(line)
        if found:
            self._begin_epoch(_count(found[1]))
            line = f"{line[: found.start()]} {line[found.end() :]}"
        bar = _KERAS_BAR.search(line) if "/" in line else None
        line, bar_of = _without_bar(line)
        if not line or (bar and _unfinished(bar)):
            return
        validates = self._validates(line)
        pairs = dict(_pairs(line, self.part, means=validates))
        if not pairs:
            self._headline(line, is_epoch=bool(found))
        elif bar:
            self._add_to_bar(pairs)
        else:
            self._add(pairs, line, bar_of=bar_of if found else None, validates=validates)

    def _add(
        self,
        pairs: Mapping[str, Cell],
        line: str,
        *,
        bar_of: tuple[str, str] | None,
        validates: bool,
    ) -> None:
        again = self.validation if validates else self.shown.get(bar_of) if bar_of else None
        if again is not None:  # the same measurement again, some of its numbers later
            again.update(pairs)
            return
        row: dict[str, Cell] = dict(pairs)
        self.validation, self.shown[bar_of] = row if validates else None, row
        if self.epoch is not None:
            row["epoch"] = self.epoch
        step = _STEP.search(line)
        if step:
            row["step"] = _count(next(group for group in step.groups() if group))
        self.rows.append(row)

    def _validates(self, line: str) -> bool:
        """Whether a line is progress within validation, or its sum after it (`` * Acc@1 76.1``).

        Such lines are one row: the later numbers, which are means so far, replace the earlier.
        """
        if self.validation is not None and line.lstrip().startswith("*"):
            return True
        begins = _VALIDATION.match(line)
        if begins and part_of(begins[1]) == "val":
            self.part = "val"
            return True
        return False

    def _begin_epoch(self, epoch: float) -> None:
        if epoch != self.epoch:
            self.bar, self.shown = None, {}
        self.epoch, self.part, self.validation = epoch, None, None

    def _headline(self, line: str, *, is_epoch: bool) -> None:
        words = _PART.findall(line[:60])
        if not words:
            self.part = None
        elif not is_epoch and len(line) < 60:
            self.part = part_of(words[0]) or self.part

    def _add_to_bar(self, pairs: Mapping[str, Cell]) -> None:
        """Keras prints the last line of an epoch twice, the second time with validation."""
        if self.bar is None or self.epoch is None:
            self.bar = {} if self.epoch is None else {"epoch": self.epoch}
            self.rows.append(self.bar)
        for name, value in pairs.items():
            self.bar.setdefault(name, value)


def read_console(text: str) -> Table | None:
    """Read the pairs of a console's output; None where no line names a loss or an accuracy.

    Raises `DataError` for too many lines.
    """
    reader = _Reader()
    for count, line in enumerate(_lines(text)):
        if count >= MAX_ROWS:
            raise DataError(too_many(count + 1))
        reader.take(line)
    rows = _without_words(row for row in reader.rows if any(not is_axis(name) for name in row))
    return table_of_rows(rows, kind="console") if rows else None


def _without_words(rows: Iterable[dict[str, Cell]]) -> list[dict[str, Cell]]:
    """Leave out names that stand once and are no curve: words of a sentence before a number."""
    listed = list(rows)
    counts = Counter(name for row in listed for name in row)
    once = {n for n, count in counts.items() if count == 1 and not is_known(n) and not is_axis(n)}
    kept = [{n: value for n, value in row.items() if n not in once} for row in listed]
    return [row for row in kept if any(not is_axis(name) for name in row)]


def _lines(text: str) -> Iterator[str]:
    """The lines as a terminal shows them: of parts that overwrite each other, the last one."""
    clean = unrolled(_ANSI.sub("", text) if "\x1b" in text or "\x08" in text else text)
    if "\r" in clean and "\n" not in clean.replace("\r\n", ""):
        clean = clean.replace("\r", "\n")
    for line in clean.split("\n"):
        for shown in _shown(line) if "\r" in line else [line]:
            has_number = any(sign in shown for sign in "0123456789") or "nan" in shown.lower()
            if not shown.strip():
                yield ""
            elif has_number or len(shown) < 60:
                yield shown[:LONGEST_LINE]


def _shown(line: str) -> Iterator[str]:
    """The last part of each epoch: a bar that stands for all epochs has them in one line."""
    of_epoch: list[list[str]] = [[]]
    epoch = None
    for part in filter(str.strip, line.split("\r")):
        found = _EPOCH.search(part[:LONGEST_LINE])
        if found and found[1] != epoch:
            epoch = found[1]
            of_epoch.append([])
        of_epoch[-1].append(part)
    parts = [parts for parts in of_epoch if parts]
    for listed in parts or [[""]]:
        numbers = [part for part in listed if re.search(r"[:=]\s*[-\d.]|nan", part)]
        whole = [part for part in numbers if not _is_unfinished(part)]
        yield (whole or numbers or listed)[-1]


def _is_unfinished(part: str) -> bool:
    bar = _TQDM_BAR.search(part[:LONGEST_LINE])
    return bar is not None and _unfinished(bar)


def _without_bar(line: str) -> tuple[str, tuple[str, str] | None]:
    """Return a line without tqdm's bar, and the title and length of the bar; None without one.

    Of a bar that has not ended only the text that was printed behind it counts.
    """
    bar = _TQDM_BAR.search(line) if "%|" in line else None
    if bar is None:
        return line or " ", None
    title, rest = line[: bar.start()], line[bar.end() :]
    if _unfinished(bar):
        return rest.partition("]")[2], None
    return f"{title} {rest}", (title, bar[2])


def _dictionary(line: str) -> dict[str, Cell] | None:
    """The numbers of a printed dictionary, as the Hugging Face trainer writes it after its bar."""
    begin, end = line.find("{"), line.rfind("}") + 1
    try:
        content = json.loads(line[begin:end].replace("'", '"'))
    except (ValueError, RecursionError):
        return None
    return {name: value for name, value in content.items() if number(value) is not None}


def _count(text: str) -> float:
    return float(text.replace(",", ""))


def _unfinished(bar: re.Match[str]) -> bool:
    return int(bar[1]) < int(bar[2])


def _pairs(line: str, part: str | None, *, means: bool) -> Iterator[tuple[str, float]]:
    """Every name with its number. Names of loss and accuracy get the part of the line.

    means: take the mean so far, in brackets after a number.
    """
    end, quantity, parts = 0, "", set[str]()
    for found in _PAIR.finditer(line):
        name = found["name"].strip(" .-'")
        before = _PART.findall(line[end : found.start()])
        if found.start() - end > 3:
            for word in before:
                part = part_of(word) or part
        quantity = _quantity(before, name, quantity)
        if f"{name}/{quantity}" in parts:  # `loss: train 0.9, val 0.8, train 5 s`
            quantity = ""
        if quantity and part_of(name):
            name = f"{name}/{quantity}"
            parts.add(name)
        end = found.end()
        if is_axis(name):
            continue
        value = number(found["mean"]) if means and found["mean"] else _value(found)
        if value is None:
            continue
        own = has_part(name)
        part = own or part
        if part and not own and (role := role_of(name)) and role.curve != "learning_rate":
            name = f"{part}/{name}"
        yield name, value


def _quantity(before: Sequence[str], name: str, last: str) -> str:
    """The loss or the accuracy that a bare part belongs to; empty where none is named.

    before: the words in front of a name.  last: the quantity of the name before it.
    """
    if part_of(name):
        return before[-1] if before and is_known(before[-1]) else "" if before else last
    words = name.split()
    return " ".join(words[:-1]) if part_of(words[-1]) and is_known(" ".join(words[:-1])) else ""


def _value(found: re.Match[str]) -> float | None:
    text = found["value"]
    try:
        value = float(text)
    except ValueError:
        value = float(text.replace(",", ".").rstrip("."))
    if found["of"]:
        return value / float(found["of"]) if float(found["of"]) else None
    return value / 100 if found["percent"] else value
