"""Product export files of Shopify and WooCommerce, in their columns: variants, HTML, empty prices."""

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, structs

from bus.files.entries import Fault, Skipped
from bus.files.source import examine
from catalog.files import reading
from catalog.files.html_text import text_of
from catalog.files.reading import Reading
from catalog.files.woocommerce import MOST_PARENTS

SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,"
    "Option2 Name,Option2 Value,Option3 Name,Option3 Value,Variant SKU,Variant Grams,"
    "Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Fulfillment Service,"
    "Variant Price,Variant Compare At Price,Variant Requires Shipping,Variant Taxable,Variant Barcode,"
    "Image Src,Image Position,Image Alt Text,Gift Card,SEO Title,SEO Description,Variant Image,"
    "Variant Weight Unit,Variant Tax Code,Cost per item,Status"
)

WOOCOMMERCE = (
    "ID,Type,SKU,Name,Published,Is featured?,Visibility in catalog,Short description,Description,"
    "Date sale price starts,Date sale price ends,Tax status,Tax class,In stock?,Stock,Low stock amount,"
    "Backorders allowed?,Sold individually?,Weight (kg),Length (cm),Width (cm),Height (cm),"
    "Allow customer reviews?,Purchase note,Sale price,Regular price,Categories,Tags,Shipping class,Images,"
    "Download limit,Download expiry days,Parent,Grouped products,Upsells,Cross-sells,External URL,Button text,"
    "Position,Attribute 1 name,Attribute 1 value(s),Attribute 1 visible,Attribute 1 global,Attribute 2 name,"
    "Attribute 2 value(s),Attribute 2 visible,Attribute 2 global"
)


def _read(tmp_path: Path, columns: str, *rows: dict[str, str], how: Reading | None = None) -> list[Any]:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns.split(","), restval="")
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "export.csv").write_bytes(text.getvalue().encode("utf-8-sig"))
    how = how or Reading()
    with examine(tmp_path / "export.csv").opened() as (opened, _):
        _, found = reading.entries(opened, how)
        return [_plain(each) for each in reading.operations(found, how)]


def _plain(each: Any) -> Any:
    if isinstance(each, Fault | Skipped):
        return each
    given = structs.asdict(each[1].content).items()
    return each[0], {name: value for name, value in given if value is not UNSET and value is not None and value != []}


def _shirt(**cells: str) -> dict[str, str]:
    return {
        "Handle": "shirt",
        "Title": "Shirt",
        "Body (HTML)": "<p>Soft &amp; <b>warm</b>.</p>\n<ul><li>Wool</li><li>Red</li></ul>",
        "Vendor": "Errand & Sons",
        "Tags": "warm, new",
        "Option1 Name": "Size",
        "Option1 Value": "S",
        "Option2 Name": "Colour",
        "Option2 Value": "Red",
        "Variant SKU": "SH-S",
        "Variant Inventory Qty": "4",
        "Variant Price": "29.90",
        "Variant Barcode": "'4006381333931",
        "Image Src": "https://example.com/1.png",
        "Status": "active",
        **cells,
    }


def test_each_variant_of_shopify_is_a_product_and_a_further_picture_is_none(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        SHOPIFY,
        _shirt(),
        {
            "Handle": "shirt",
            "Option1 Value": "M",
            "Option2 Value": "Red",
            "Variant SKU": "SH-M",
            "Variant Inventory Qty": "-2",
            "Variant Price": "31.00",
        },
        {"Handle": "shirt", "Image Src": "https://example.com/2.png", "Image Position": "2"},
        {"Handle": "shirt", "Option1 Value": "L", "Option2 Value": "Red", "Variant SKU": "SH-L"},
        {
            "Handle": "mug",
            "Title": "Mug",
            "Option1 Name": "Title",
            "Option1 Value": "Default Title",
            "Variant Price": "7",
            "Status": "draft",
        },
    )
    text = "Soft & warm.\n- Wool\n- Red"
    own = {"handle": "shirt", "vendor": "Errand & Sons"}
    assert found == [
        (
            2,
            {
                "name": "Shirt - S / Red",
                "sku": "SH-S",
                "price": Decimal("29.90"),
                "quantity": 4,
                "tags": ["warm", "new"],
                "description": text,
                "attributes": {**own, "barcode": "4006381333931", "Size": "S", "Colour": "Red"},
            },
        ),
        (
            4,
            {
                "name": "Shirt - M / Red",
                "sku": "SH-M",
                "price": Decimal("31.00"),
                "quantity": 0,
                "tags": ["warm", "new"],
                "description": text,
                "attributes": {**own, "Size": "M", "Colour": "Red"},
            },
        ),
        Skipped(6, "'Shirt - L / Red' has no price"),
        (
            7,
            {"name": "Mug", "price": Decimal(7), "quantity": 0, "attributes": {"handle": "mug", "status": "draft"}},
        ),
    ]


def test_each_variation_of_woocommerce_is_a_product_with_the_texts_of_its_parent(tmp_path: Path) -> None:
    hoodie = {
        "ID": "10",
        "Type": "variable",
        "SKU": "HOOD",
        "Name": "Hoodie",
        "Published": "1",
        "Short description": "<em>Short.</em>",
        "Stock": "9",
        "Categories": "Clothing > Hoodies",
        "Tags": "warm, new",
        "Attribute 1 name": "Size",
        "Attribute 1 value(s)": "S, M",
    }
    small = {
        "ID": "11",
        "Type": "variation",
        "SKU": "HOOD-S",
        "Name": "Hoodie - S",
        "Published": "1",
        "Stock": "5",
        "Sale price": "19.90",
        "Regular price": "25",
        "Parent": "id:10",
        "Attribute 1 name": "Size",
        "Attribute 1 value(s)": "S",
    }
    cap = {
        "ID": "20",
        "Type": "simple, virtual",
        "Name": "Cap",
        "Published": "-1",
        "Description": "<p>One</p><p>Two</p>",
        "Regular price": "9.5",
    }
    found = _read(
        tmp_path,
        WOOCOMMERCE,
        hoodie,
        small,
        {**small, "SKU": "HOOD-M", "Name": "Hoodie - M", "Stock": "parent", "Parent": "HOOD", "Sale price": ""},
        {**small, "SKU": "HOOD-L", "Regular price": "", "Name": "Hoodie - L"},
        {**small, "Parent": "id:99"},
        cap,
        {"ID": "21", "Type": "grouped", "Name": "Set"},
    )
    first, second, no_price, orphan, simple, grouped = found
    assert first == (
        3,
        {
            "name": "Hoodie - S",
            "sku": "HOOD-S",
            "price": Decimal(25),
            "quantity": 5,
            "tags": ["warm", "new"],
            "description": "Short.",
            "attributes": {"categories": "Clothing > Hoodies", "sale_price": "19.90", "Size": "S"},
        },
    )
    assert (second[1]["quantity"], second[1]["description"]) == (9, "Short.")
    assert no_price == Skipped(5, "'Hoodie - L' has no price")
    assert orphan == Fault(6, "The product 'id:99' that this is a variation of is not before it.")
    assert simple == (
        7,
        {
            "name": "Cap",
            "price": Decimal("9.5"),
            "quantity": 0,
            "description": "One\nTwo",
            "attributes": {"status": "draft"},
        },
    )
    assert grouped == Skipped(8, "'Set' has no price")


@pytest.mark.parametrize(("columns", "price"), [(SHOPIFY, "Variant Price"), (WOOCOMMERCE, "Regular price")])
def test_a_price_that_is_none_is_a_fault_with_its_line(tmp_path: Path, columns: str, price: str) -> None:
    row = _shirt(Type="simple", Name="Shirt", ID="1")
    row = {name: value for name, value in row.items() if name in columns.split(",")}
    found = _read(tmp_path, columns, {**row, price: "about 5"}, {**row, price: "5,00"})
    assert [each.line for each in found] == [2, 3 if columns is WOOCOMMERCE else 4]  # after a description of two lines
    assert "'about 5' is not a number" in found[0].detail
    assert "--decimal-comma" in found[1].detail
    good = _read(tmp_path, columns, {**row, price: "5,00"}, how=Reading(decimal_comma=True))
    assert good[0][1]["price"] == Decimal(5)


def test_a_variation_far_behind_its_parent_is_a_fault_and_not_without_its_text(tmp_path: Path) -> None:
    parents = [{"ID": str(number), "Type": "variable", "Name": "x"} for number in range(MOST_PARENTS + 1)]
    late = {"ID": "x", "Type": "variation", "Name": "x", "Regular price": "1"}
    first, last = _read(tmp_path, WOOCOMMERCE, *parents, {**late, "Parent": "id:0"}, {**late, "Parent": "id:1"})
    assert isinstance(first, Fault)
    assert last[1]["name"] == "x"


# (HTML, its text)
TEXTS = [
    ("plain\n text", "plain\n text"),
    ("a<br>b<br/>c", "a\nb\nc"),
    ("<h2>Head</h2>\n<div><p>One</p>\n\n<p>Two &lt;3</p></div>", "Head\nOne\nTwo <3"),
    ("<ul>\n<li>a</li>\n<li><b>b</b> c</li></ul>end", "- a\n- b c\nend"),
    ("x<script>alert(1)</script><style>p {}</style>y", "xy"),
    ("a &nbsp;b", "a \u00a0b"),
    ("1 < 2 & 3", "1 < 2 & 3"),
    ("<p>", ""),
]


@pytest.mark.parametrize(("html", "text"), TEXTS)
def test_html_becomes_text(html: str, text: str) -> None:
    assert text_of(html) == text
