"""PDFs that mean harm, made by code: each function gives the bytes of one."""

import io
import zlib

from pypdf import PdfWriter
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas


def build(objects, root=1, trailer=b""):
    """A PDF of numbered objects (bytes each) with a right cross-reference table."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer <</Size %d /Root %d 0 R %s>>\n" % (len(objects) + 1, root, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF" % start)


def stream(data, extra=b""):
    return b"<</Length %d %s>>\nstream\n" % (len(data), extra) + data + b"\nendstream"


CATALOG = b"<</Type /Catalog /Pages 2 0 R>>"
FONT = b"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>"


def one_page(content, extra=(), resources=b"/Font <</F 5 0 R>>", catalog=CATALOG):
    page = b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
    page += b" /Resources <<" + resources + b">>>>"
    pages = b"<</Type /Pages /Kids [3 0 R] /Count 1>>"
    return build([catalog, pages, page, content, FONT, *extra])


def written(*texts, title="A manual", outline=()):
    """An ordinary PDF with a page for each text."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(600, 800))
    canvas.setTitle(title)
    for number, text in enumerate(texts):
        if number < len(outline):
            canvas.bookmarkPage(str(number))
            canvas.addOutlineEntry(outline[number], str(number), 0)
        for row, line in enumerate(text.split("\n")):
            canvas.drawString(40, 760 - 14 * row, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def flate_bomb(gib=1, layers=1):
    squeeze = zlib.compressobj(9)
    block = b"BT /F 9 Tf (word) Tj ET\n" * 43690
    parts = [squeeze.compress(block) for _ in range(1024 * gib)]
    data = b"".join(parts) + squeeze.flush()
    for _ in range(layers - 1):
        data = zlib.compress(data, 9)
    filters = b" ".join([b"/FlateDecode"] * layers)
    return one_page(stream(data, b"/Filter [" + filters + b"]"))


def expansion(depth=25):
    """Form XObjects that each draw the next one twice: 2 to the power of `depth` in the end."""
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources <<"
    forms = [
        stream(b"/X Do /X Do", form + b"/XObject <</X %d 0 R>>>>" % (7 + level))
        for level in range(depth)
    ]
    forms.append(stream(b"BT /F 9 Tf (word) Tj ET", form + b"/Font <</F 5 0 R>>>>"))
    return one_page(stream(b"/X Do"), forms, b"/XObject <</X 6 0 R>>")


def xref_cycle():
    good = one_page(stream(b"BT /F 9 Tf (word) Tj ET"))
    start = good.rindex(b"xref\n0")
    return good.replace(b"/Size", b"/Prev %d /Size" % start)


def deep_arrays(depth=200_000):
    return one_page(stream(b"[" * depth), [b"[" * depth + b"]" * depth])


def page_cycle():
    return build([CATALOG, b"<</Type /Pages /Kids [2 0 R 2 0 R] /Count 2 /Parent 2 0 R>>"])


def same_page(times=100_000):
    page = b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R>>"
    pages = b"<</Type /Pages /Kids [" + b"3 0 R " * times + b"] /Count %d>>" % times
    return build([CATALOG, pages, page, stream(b" ")])


def endless_outline(entries=1_000_000):
    """An outline of many entries: far more than any reader would show."""
    text = stream(b"BT /F 9 Tf 40 700 Td (word) Tj ET")
    page = b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
    page += b" /Resources <</Font <</F 5 0 R>>>>>>"
    catalog = b"<</Type /Catalog /Pages 2 0 R /Outlines 6 0 R>>"
    pages = b"<</Type /Pages /Kids [3 0 R] /Count 1>>"
    top = b"<</First 7 0 R /Last %d 0 R /Count %d>>" % (6 + entries, entries)
    row = b"<</Title (x) /Parent 6 0 R /Next %d 0 R /Dest [3 0 R /Fit]>>"
    rows = [row % (8 + number) for number in range(entries)]
    return build([catalog, pages, page, text, FONT, top, *rows])


def image_only():
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.drawImage(ImageReader(_picture()), 0, 0)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def _picture():
    from PIL import Image

    return Image.new("RGB", (8, 8), "red")


def encrypted(user_password):
    writer = PdfWriter(clone_from=io.BytesIO(written("Secret settings of the module")))
    writer.encrypt(user_password, "owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def calling_out(url):
    """Open a URL by JavaScript, by an action and by an external stream, and embed a program."""
    target = url.encode()
    script = b"<</S /JavaScript /JS (app.launchURL\\('" + target + b"js'\\);)>>"
    action = b"<</S /URI /URI (" + target + b"action)>>"
    program = stream(b"MZ", b"/Type /EmbeddedFile")
    names = b"/Names <</EmbeddedFiles <</Names [(a.exe) <</F (a.exe) /EF <</F 7 0 R>>>>]>>>>"
    catalog = b"<</Type /Catalog /Pages 2 0 R /OpenAction 6 0 R " + names + b">>"
    texts = (
        stream(b"BT /F 9 Tf 40 700 Td (word) Tj ET"),
        stream(b"", b"/F <</FS /URL /F (" + target + b"stream)>>"),
    )
    return [
        one_page(text, [opening, program], catalog=catalog)
        for text in texts
        for opening in (script, action)
    ]
