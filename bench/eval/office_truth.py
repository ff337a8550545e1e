"""What Python's libraries find in office documents, books and mails."""

import csv
import datetime
import email
import email.policy
import re
import warnings
from collections import Counter
from pathlib import Path

# Of files that are not quite what they should be, which is why they are here.
warnings.filterwarnings("ignore")

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def tokens(text: str) -> Counter:
    return Counter(re.findall(r"\w+", text.lower()))


def without_mark(item: str) -> str:
    """A list item without its bullet or number."""
    return re.sub(r"^\s*(?:-|\S{1,12}[.):])\s+", "", item, count=1)


def without_notes(text: str, notes: set) -> str:
    """A text without the marks of these notes."""
    return re.sub(r"\[(\d+)\]", lambda mark: "" if mark[1] in notes else mark[0], text)


def text(kind: str, path: Path) -> str:
    readers = {"docx": docx, "pptx": pptx, "xlsx": xlsx, "odt": odt, "epub": epub, "eml": eml, "csv": table}
    return readers[kind](path)


def docx(path: Path) -> str:
    """Every visible text of the body and of its notes: python-docx opens the parts, their XML is read whole."""
    import docx as library

    document = library.Document(str(path))
    roots = [document.element.body]
    for relation in document.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")):
            import lxml.etree
            roots.append(lxml.etree.fromstring(relation.target_part.blob))
    return "\n".join(word_text(root) for root in roots)


def word_text(root) -> str:
    out = []

    def walk(element, hidden):
        name = element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""
        if name in ("del", "moveFrom", "Fallback", "rt", "sdtPr", "pPrChange", "rPrChange"):
            return
        if name in ("footnote", "endnote") and element.get(W + "type", "normal") != "normal":
            return
        if name == "r":
            mark = element.find(f"{W}rPr/{W}vanish")
            hidden = mark is not None and mark.get(W + "val") not in ("0", "false")
        if name == "t" and not hidden:
            out.append(element.text or "")
        if name in ("tab", "br", "cr"):
            out.append(" ")
        if name == "noBreakHyphen":
            out.append("-")
        for child in element:
            walk(child, hidden)
        if name == "p":
            out.append("\n")

    walk(root, False)
    return "".join(out)


def pptx(path: Path) -> str:
    from pptx import Presentation
    from pptx.enum.shapes import PP_PLACEHOLDER as kinds

    margin = {kinds.DATE, kinds.FOOTER, kinds.HEADER, kinds.SLIDE_NUMBER}
    out = []

    def shapes(group):
        for shape in group:
            if shape.is_placeholder and shape.placeholder_format.type in margin:
                continue
            if shape.shape_type == 6:
                shapes(shape.shapes)
            elif shape.has_text_frame:
                out.append(shape.text_frame.text)
            elif getattr(shape, "has_table", False) and shape.has_table:
                out.extend(cell.text for row in shape.table.rows for cell in row.cells if not cell.is_spanned)
            elif getattr(shape, "has_chart", False) and shape.has_chart:
                out.append(chart(shape.chart))

    for slide in Presentation(str(path)).slides:
        shapes(slide.shapes)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            out.append(slide.notes_slide.notes_text_frame.text)
    return "\n".join(out).replace("\x0b", "\n")


def chart(chart) -> str:
    parts = [chart.chart_title.text_frame.text] if chart.has_title and chart.chart_title.has_text_frame else []
    for number, plot in enumerate(chart.plots):
        if number == 0:
            parts += [str(category) for category in plot.categories]
        for series in plot.series:
            parts += [series.name, *(shown(value) for value in series.values if value is not None)]
    return "\n".join(parts)


def xlsx(path: Path) -> str:
    import openpyxl

    book = openpyxl.load_workbook(path, data_only=True)
    out = []
    for sheet in book.worksheets:
        # openpyxl walks through every place between the corners.
        if sheet.max_row * sheet.max_column > 1_000_000:
            raise ValueError("too large to be walked through")
        cells = [number(cell) for row in sheet.iter_rows() for cell in row if cell.value is not None]
        out += [sheet.title, *cells] if cells else []
    return "\n".join(out)


def number(cell) -> str:
    if isinstance(cell.value, (int, float)) and not isinstance(cell.value, bool) and "%" in (cell.number_format or ""):
        return shown(cell.value * 100)
    return shown(cell.value)


def shown(value) -> str:
    """A value as a reader sees it: no binary noise, no midnight."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime.datetime):
        text = value.isoformat(sep=" ", timespec="seconds")
        return text.removesuffix(" 00:00:00").removesuffix(":00") if text.endswith(":00") else text
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="seconds").removesuffix(":00") if value.second == 0 else value.isoformat(timespec="seconds")
    return str(value)


def calamine(library, path: Path) -> str:
    book = library.CalamineWorkbook.from_path(str(path))
    out = []
    for name in book.sheet_names:
        out.append(name)
        out += [shown(cell) for row in book.get_sheet_by_name(name).to_python() for cell in row if cell != ""]
    return "\n".join(out)


def odt(path: Path) -> str:
    from odf import opendocument

    out = []
    skipped = {"tracked-changes", "annotation", "forms", "note-citation", "desc", "ruby-text"}

    def walk(node):
        if node.nodeType in (node.TEXT_NODE, node.CDATA_SECTION_NODE):
            out.append(node.data)
            return
        name = node.qname[1] if node.nodeType == node.ELEMENT_NODE else ""
        if name in skipped or (name == "title" and "svg" in node.qname[0]):
            return
        if name in ("s", "tab", "line-break", "note"):
            out.append(" ")
        for child in node.childNodes:
            walk(child)
        if name in ("p", "h", "table-cell", "note"):
            out.append("\n")

    walk(opendocument.load(str(path)).text)
    return "".join(out)


def epub(path: Path) -> str:
    import ebooklib.epub
    from bs4 import BeautifulSoup

    book = ebooklib.epub.read_epub(str(path))
    out = []
    for name, _ in book.spine:
        item = book.get_item_with_id(name)
        if item is None or isinstance(item, ebooklib.epub.EpubNav) or "html" not in item.media_type:
            continue
        page = BeautifulSoup(item.content, "lxml")
        for part in page(["script", "style", "head"]):
            part.decompose()
        out.append(page.get_text("\n" if page.find("p") else " "))
    return "\n".join(out)


def eml(path: Path) -> str:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if any(part.defects for part in message.walk()):
        raise ValueError("Python itself says that it read this amiss")
    return mail(message)


def mail(message) -> str:
    out = [str(message["subject"] or "")]
    names = []

    def walk(part):
        kind = part.get_content_type()
        if kind == "message/rfc822":
            names.append(part.get_filename() or "")
            out.extend(mail(inner) for inner in part.get_payload())
        elif kind == "message/delivery-status":
            out.extend(str(status) for status in part.get_payload())
        elif kind == "multipart/alternative":
            parts = {inner.get_content_type(): inner for inner in part.get_payload()}
            plain = parts.get("text/plain")
            best = plain if plain is not None and plain.get_content().strip() else parts.get("text/html")
            walk(best if best is not None else part.get_payload()[-1])
        elif part.is_multipart():
            for inner in part.get_payload():
                walk(inner)
        elif part.get_content_disposition() == "attachment" or not kind.startswith("text/"):
            names.append(part.get_filename() or "")
        elif kind == "text/html":
            from bs4 import BeautifulSoup
            page = BeautifulSoup(part.get_content(), "lxml")
            for hidden in page(["script", "style", "head"]):
                hidden.decompose()
            out.append(page.get_text("\n"))
        elif kind not in ("text/rfc822-headers", "text/calendar", "text/vcard", "text/x-vcard", "text/directory", "text/css"):
            out.append(part.get_content())

    walk(message)
    # The word that stands before the list of names is ours.
    return "\n".join(out + (["Attachments", *names] if any(names) else []))


def table(path: Path) -> str:
    source = path.read_bytes().decode("utf-8-sig")
    try:
        dialect = csv.Sniffer().sniff(source[:20_000], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    return "\n".join(cell for row in csv.reader(source.splitlines(keepends=True), dialect) for cell in row)
