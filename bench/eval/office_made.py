"""Office documents, books and mails whose text is known: written from word lists, the same in every run."""

import datetime
import random
from email.message import EmailMessage
from pathlib import Path

WORDS = {
    "en": "mill grain wheat rye flour bran sieve roller plansifter moisture protein ash yield audit energy bearing belt "
          "intake silo conveyor dust filter purifier break reduction tempering water hour tonne harvest contract price",
    "de": "Mühle Getreide Weizen Roggen Mehl Kleie Sieb Walzenstuhl Feuchte Eiweiß Asche Ausbeute Prüfung Energie Lager "
          "Riemen Annahme Förderer Staub Größe Straße Maß Vermahlung Wasser Stunde Tonne Ernte Vertrag Preis täglich",
    "fr": "moulin grain blé seigle farine son tamis cylindre humidité protéine cendres rendement énergie palier courroie "
          "réception silo poussière épuration broyage eau heure tonne récolte marché prix été déjà où Noël",
    "ru": "мельница зерно пшеница рожь мука отруби сито вальцы влажность белок зола выход проверка энергия подшипник "
          "ремень приём силос пыль фильтр вода час тонна урожай договор цена",
    "ja": "製粉所 小麦 ライ麦 小麦粉 ふすま 篩 ロール 水分 蛋白質 灰分 歩留まり 検査 電力 軸受 ベルト 受入 サイロ 粉塵 水 時間 収穫 契約 価格",
}
EACH = 4


class Writer:
    """Text that is written down as it is made."""

    def __init__(self, seed: int, language: str):
        self.random = random.Random(f"{language}{seed}")
        self.words = WORDS[language].split()
        self.said = []

    def text(self, least: int, most: int) -> str:
        text = " ".join(self.random.choices(self.words, k=self.random.randint(least, most)))
        self.said.append(text)
        return text

    def number(self) -> float:
        number = round(self.random.uniform(1, 99_999), 2)
        self.said.append(f"{number:.15g}")
        return number


def write(folder: Path) -> list:
    """(kind, path, text) of each file."""
    makers = {"docx": docx, "pptx": pptx, "xlsx": xlsx, "odt": odt, "epub": epub, "eml": eml, "csv": table}
    cases = []
    for kind, make in makers.items():
        for language in WORDS:
            for seed in range(EACH):
                path, writer = folder / f"{language}-{seed}.{kind}", Writer(seed, language)
                make(writer, path)
                cases.append((kind, path, "\n".join(writer.said)))
    return cases


def docx(writer: Writer, path: Path):
    import docx as library

    document = library.Document()
    document.add_heading(writer.text(2, 5), 0)
    for section in range(4):
        document.add_heading(writer.text(2, 6), 1 + section % 3)
        for _ in range(3):
            paragraph = document.add_paragraph(writer.text(20, 80))
            paragraph.add_run(" ")
            paragraph.add_run(writer.text(2, 6)).bold = True
        for style in ("List Bullet", "List Number", "List Bullet 2", "Intense Quote"):
            document.add_paragraph(writer.text(3, 10), style=style)
        table = document.add_table(rows=1, cols=3)
        for row in range(4):
            cells = table.rows[0].cells if row == 0 else table.add_row().cells
            for cell in cells:
                cell.text = writer.text(1, 4)
    document.save(path)


def pptx(writer: Writer, path: Path):
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    show = Presentation()
    first = show.slides.add_slide(show.slide_layouts[0])
    first.shapes.title.text, first.placeholders[1].text = writer.text(2, 5), writer.text(3, 8)
    for number in range(5):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = writer.text(2, 5)
        frame = slide.placeholders[1].text_frame
        frame.text = writer.text(4, 12)
        for level in (0, 1, 1, 2):
            point = frame.add_paragraph()
            point.text, point.level = writer.text(4, 12), level
        box = slide.shapes.add_textbox(Inches(1), Inches(5), Inches(4), Inches(1))
        box.text_frame.text = writer.text(3, 9)
        if number % 2:
            table = slide.shapes.add_table(3, 3, Inches(1), Inches(3), Inches(6), Inches(1)).table
            for row in range(3):
                for column in range(3):
                    table.cell(row, column).text = writer.text(1, 3)
        else:
            data = CategoryChartData()
            data.categories = [writer.text(1, 1) for _ in range(3)]
            data.add_series(writer.text(1, 2), [writer.number() for _ in range(3)])
            slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(1), Inches(4), Inches(3), data)
        slide.notes_slide.notes_text_frame.text = writer.text(5, 20)
    show.save(path)


def xlsx(writer: Writer, path: Path):
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for number in range(3):
        name = f"{writer.random.choice(writer.words)} {number}"
        writer.said.append(name)
        sheet = book.create_sheet(name)
        sheet.append([writer.text(3, 6)])
        sheet.append([])
        sheet.append([writer.text(1, 2) for _ in range(5)])
        for _ in range(60):
            day = datetime.date(2026, 1, 1) + datetime.timedelta(days=writer.random.randrange(365))
            share = writer.random.randrange(1, 1000) / 1000
            writer.said += [day.isoformat(), f"{share * 100:.15g}"]
            sheet.append([writer.text(1, 3), day, writer.number(), share, None if writer.random.random() < .3 else writer.text(1, 5)])
            sheet.cell(sheet.max_row, 4).number_format = "0.0%"
    book.save(path)


def odt(writer: Writer, path: Path):
    from odf import opendocument, table, text

    document = opendocument.OpenDocumentText()
    for level in (1, 2, 2, 1, 3):
        document.text.addElement(text.H(outlinelevel=level, text=writer.text(2, 6)))
        for _ in range(3):
            paragraph = text.P(text=writer.text(20, 80))
            paragraph.addElement(text.S(c=1))
            paragraph.addElement(text.Span(text=writer.text(2, 5)))
            document.text.addElement(paragraph)
        points = text.List()
        for _ in range(3):
            item = text.ListItem()
            item.addElement(text.P(text=writer.text(3, 9)))
            points.addElement(item)
        document.text.addElement(points)
        grid = table.Table()
        for _ in range(3):
            row = table.TableRow()
            for _ in range(3):
                cell = table.TableCell()
                cell.addElement(text.P(text=writer.text(1, 4)))
                row.addElement(cell)
            grid.addElement(row)
        document.text.addElement(grid)
    document.save(str(path))


def epub(writer: Writer, path: Path):
    from ebooklib import epub as library

    book = library.EpubBook()
    book.set_identifier(path.stem)
    book.set_title("A book")
    book.set_language("en")
    chapters = []
    for number in range(4):
        chapter = library.EpubHtml(title=f"{number}", file_name=f"{number}.xhtml")
        paragraphs = "".join(f"<p>{writer.text(20, 90)} <i>{writer.text(1, 4)}</i></p>" for _ in range(6))
        points = "".join(f"<li>{writer.text(3, 9)}</li>" for _ in range(3))
        chapter.content = f"<h1>{writer.text(2, 5)}</h1>{paragraphs}<ul>{points}</ul><blockquote><p>{writer.text(5, 20)}</p></blockquote>"
        book.add_item(chapter)
        chapters.append(chapter)
    book.toc = chapters
    book.add_item(library.EpubNcx())
    book.add_item(library.EpubNav())
    book.spine = ["nav", *chapters]
    library.write_epub(str(path), book)


def eml(writer: Writer, path: Path):
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = writer.text(3, 8), "A. Miller <a@mill.example>", "b@mill.example"
    body = [writer.text(20, 60) for _ in range(4)]
    message.set_content("\n\n".join(body))
    if writer.random.random() < .5:
        message.add_alternative("<html><body>" + "".join(f"<p>{part}</p>" for part in body) + "</body></html>", subtype="html")
    if writer.random.random() < .5:
        message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="audit.pdf")
        writer.said.append("Attachments audit.pdf")
    path.write_bytes(message.as_bytes())


def table(writer: Writer, path: Path):
    import csv

    separator = writer.random.choice(",;\t|")
    with path.open("w", newline="", encoding=writer.random.choice(("utf-8", "utf-8-sig", "utf-16"))) as file:
        rows = csv.writer(file, delimiter=separator)
        rows.writerow([writer.text(1, 2) for _ in range(4)])
        for _ in range(80):
            rows.writerow([writer.text(1, 3), writer.number(), writer.text(2, 6), writer.number()])
