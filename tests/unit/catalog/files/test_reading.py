"""Reading: files as people and shops really have them, each product with its line."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, structs

from bus.files.batches import batches
from bus.files.entries import Fault, FileRefused, Skipped
from bus.files.source import MOST_LINE_BYTES, Source, examine
from catalog.contract import MOST_OPERATIONS, BatchOperation
from catalog.files import reading
from catalog.files.reading import Reading, import_of

LAMP = b"name,price,quantity\nLamp,9.90,3\n"


def _source(tmp_path: Path, content: bytes, encoding: str | None = None) -> Source:
    (tmp_path / "products").write_bytes(content)
    return examine(tmp_path / "products", encoding)


def _read(tmp_path: Path, content: bytes, how: Reading | None = None) -> list[Any]:
    """The fields of the products with their lines, and what could not be read."""
    how = how or Reading()
    with _source(tmp_path, content).opened() as (text, _):
        _, found = reading.entries(text, how)
        return [
            _fields(each) if isinstance(each, tuple) else each for each in map(_plain, reading.operations(found, how))
        ]


def _plain(each: Any) -> Any:
    return each if isinstance(each, Fault | Skipped) else (each[0], each[1])


def _fields(each: Any) -> Any:
    if isinstance(each, Fault | Skipped):
        return each
    line, operation = each
    assert isinstance(operation, BatchOperation)
    return line, {name: value for name, value in structs.asdict(operation.content).items() if value is not UNSET}


def _lamp(line: int = 2, **fields: Any) -> tuple[int, dict[str, Any]]:
    return line, {"name": "Lamp", "price": Decimal("9.90"), "quantity": 3, **fields}


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
def test_csv_as_programs_write_it(tmp_path: Path, begin: bytes, end: bytes, delimiter: bytes) -> None:
    lines = [b"Name,PRICE,quantity", b'"Lamp",9.90,"3"', b"", b",,", b"Lamp,9.90,3", b""]
    content = begin + end.join(line.replace(b",", delimiter) for line in lines)
    assert _read(tmp_path, content) == [_lamp(2), _lamp(5)]


def test_quoted_line_breaks_and_quotes_and_the_lines_after_them(tmp_path: Path) -> None:
    content = b'\n\nname,price,quantity,description\r\n"a ""b"", c",1,2,"x\r\n\ny"\r\nd,1,2,"z\nz"\r\nLamp,9.90,3,\r\n'
    found = _read(tmp_path, content)
    assert [line for line, _ in found] == [4, 7, 9]
    assert (found[0][1]["name"], found[0][1]["description"]) == ('a "b", c', "x\r\n\ny")


def test_all_fields_and_what_the_catalog_decides_is_ignored(tmp_path: Path) -> None:
    content = (
        b"id,sku,name,price,quantity,available,tags,description,attributes,version,updated_at\n"
        b'7, A-1 ,Lamp,9.90,3,1,"light, sale,",Bright,"{""watts"":7.5,""is_new"":true}",4,2026-01-01T00:00:00Z\n'
        b'8,,Lamp,9.90,3.0,1,"[""a,b""]",,,4,\n'
    )
    full, plain = _read(tmp_path, content)
    assert full == _lamp(
        2, sku="A-1", tags=["light", "sale"], description="Bright", attributes={"watts": 7.5, "is_new": True}
    )
    assert plain == _lamp(3, tags=["a,b"])


def test_decimal_commas_when_told_and_a_hint_when_not(tmp_path: Path) -> None:
    content = b"name;price;quantity\nLamp;9,90;3\n"
    assert _read(tmp_path, content, Reading(decimal_comma=True)) == [_lamp()]
    (fault,) = _read(tmp_path, content)
    assert (fault.line, "--decimal-comma" in fault.detail) == (2, True)
    (fault,) = _read(tmp_path, b"name;price;quantity\nLamp;1.009,90;3\n", Reading(decimal_comma=True))
    assert "without a currency and thousands separators" in fault.detail


# (a row of name, price, quantity, attributes, tags; what its fault says)
FAULTS = [
    (b"Lamp,,3,,", "price: This field is required."),
    (b",9.90,3,,", "name: This field is required."),
    (b"Lamp,9.90,,,", "quantity: This field is required."),
    (b"Lamp,9.905,3,,", "price: Expected at most 2 digits after the decimal point."),
    (b"Lamp,cheap,3,,", "price: 'cheap' is not a number such as 9.90"),
    (b"Lamp,9.90,3.5,,", "quantity: '3.5' is not a whole number."),
    (b"Lamp,9.90,-1,,", "quantity: Expected whole number, 0 to 2147483647."),
    (b"Lamp,9.90,3,red,", "attributes: Expected a JSON object"),
    (b'Lamp,9.90,3,"{""a"":[1]}",', "attributes/a: Expected"),
    (b'Lamp,9.90,3,,"[1]"', "tags: This begins as a JSON list, and is none."),
    (b"Lamp,9.90,3", "This row has 3 cells, and the header 5."),
]


@pytest.mark.parametrize(("row", "said"), FAULTS)
def test_a_fault_has_its_line_and_the_others_are_read(tmp_path: Path, row: bytes, said: str) -> None:
    content = b"name,price,quantity,attributes,tags\n" + row + b"\nLamp,9.90,3,,\n"
    fault, good = _read(tmp_path, content)
    assert (fault.line, good) == (2, _lamp(3))
    assert fault.detail.startswith(said)


def test_by_sku_an_empty_cell_takes_away_and_a_column_that_is_not_there_stays(tmp_path: Path) -> None:
    content = b"sku,price,tags,description\nA,8,,\n,9,,\n"
    (_, fields), fault = _read(tmp_path, content, Reading(by_sku=True))
    assert fields == {"sku": "A", "price": Decimal(8), "tags": None, "description": None}
    assert fault == Fault(3, "sku: Expected text, 1 to 100 characters, no blanks at the ends, nothing invisible.")


def test_ndjson_is_read_line_by_line(tmp_path: Path) -> None:
    content = b'\n{"name": "Lamp", "price": 9.90, "quantity": 3, "id": 4, "version": 2}\n\n{"name": \n{"nam": 1}\n'
    good, broken, unknown = _read(tmp_path, content)
    assert good == _lamp(2)
    assert (broken.line, unknown.line) == (4, 5)
    assert "JSON" in broken.detail or "missing" in broken.detail
    assert "nam: This field is unknown." in unknown.detail


def test_utf8_and_cp1252_are_told_apart(tmp_path: Path) -> None:
    text = "name,price,quantity\nTür € ö,9.90,3\n"
    for encoding, found in (("utf-8", "utf-8-sig"), ("utf-8-sig", "utf-8-sig"), ("cp1252", "cp1252")):
        content = text.encode(encoding)
        assert _source(tmp_path, content).encoding == found
        assert _read(tmp_path, content) == [_lamp(name="Tür € ö")]


# (the content, what the refusal says)
REFUSED = [
    (LAMP + "Tür,1,1\n".encode() + "Tür,1,1\n".encode("cp1252"), "Line 3 is UTF-8, but line 4 is not."),
    (b"\xef\xbb\xbf" + LAMP + b"T\xfcr,1,1\n", "The file begins as UTF-8, but line 3 is not UTF-8."),
    (LAMP + b"T\x81r,1,1\n", "Line 3 is neither UTF-8 nor CP1252: it has the byte 0x81."),
    (LAMP.decode().encode("utf-16"), "This file is in UTF-16."),
    (LAMP.decode().encode("utf-16-le"), "Line 1 has a zero byte"),
    (b"x" * (MOST_LINE_BYTES + 1), "Line 1 has more than"),
    (b"", "The file is empty."),
    (b"\n\n", "The file is empty."),
    (b"colour,size\nred,1\n", "The first line does not name columns of products."),
    (b"name,price,quantity,colour\n", "Line 1: the column 'colour' is unknown."),
    (b"name,price,name\n", "Line 1: the column name is there twice."),
    (b'name,price,quantity\nLamp,1,"3\nLamp,1,3\n', "Line 2: A quote that opens in this row is not closed."),
    (b'name,price,quantity\nLamp,1,3\n"La"mp,1,3\n', "Line 3: This is not CSV"),
]


@pytest.mark.parametrize(("content", "said"), REFUSED)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(FileRefused) as refused:
        _read(tmp_path, content)
    assert str(refused.value).startswith(said)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    source = _source(tmp_path, LAMP)

    def read_while_it_changes() -> None:
        with source.opened() as (text, _):
            text.read()
            source.path.write_bytes(LAMP * 2)

    with pytest.raises(FileRefused, match="was changed while it was read"):
        read_while_it_changes()


def test_the_batches_are_the_same_for_the_same_file_and_no_larger_than_a_message(tmp_path: Path) -> None:
    rows = b"".join(b"Lamp,1,1,%s\n" % (b"x" * (9000 if number % 3 else 10)) for number in range(1500))
    content = b"name,price,quantity,description\n" + rows

    def lines_of_batches(content: bytes) -> list[list[int]]:
        with _source(tmp_path, content).opened() as (text, _):
            what = import_of(Reading())
            return [
                each.lines for each in batches(what.read(text)[1], lambda _: None, what.most_items, what.most_bytes)
            ]

    first = lines_of_batches(content)
    assert first == lines_of_batches(content)
    assert [line for lines in first for line in lines] == list(range(2, 1502))
    assert all(len(lines) * 6000 < 256 * 1024 + 6000 * 10 for lines in first)
    short = b"name,price,quantity\n" + b"Lamp,1,1\n" * 1001
    sizes = [len(lines) for lines in lines_of_batches(short)]
    assert sizes == [MOST_OPERATIONS, MOST_OPERATIONS, 1]


def test_another_content_another_way_and_another_name_are_another_run(tmp_path: Path) -> None:
    source = _source(tmp_path, LAMP)
    runs = [
        import_of(Reading()).run_of(source, ""),
        import_of(Reading()).run_of(source, "again"),
        import_of(Reading(by_sku=True)).run_of(source, ""),
        import_of(Reading(decimal_comma=True)).run_of(source, ""),
        import_of(Reading()).run_of(_source(tmp_path, LAMP + b"\n"), ""),
    ]
    assert len(set(runs)) == len(runs)
    assert import_of(Reading()).run_of(_source(tmp_path, LAMP), "") == runs[0]
