"""Markdown tables, and CSV that can be read back."""
import csv
import io

# One line of CSV is one figure. What a figure does not have is empty.
COLUMNS = ["section", "name", "variant", "parameter", "unit", "count", "value", "p50", "p99", "p999",
           "min", "mean", "low", "high", "note"]


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
              for row in rows]
    return "\n".join(lines) + "\n"


def number(value, digits=None):
    """1,234.5: with as many decimals as the size asks for."""
    if value is None:
        return ""
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def write_csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None else value for key, value in row.items()})
    return text.getvalue()


def read_csv(text):
    """Numbers as numbers, what is empty left out."""
    rows = []
    for line in csv.DictReader(io.StringIO(text)):
        row = {}
        for key, value in line.items():
            if value == "":
                continue
            try:
                row[key] = float(value)
            except ValueError:
                row[key] = value
        rows.append(row)
    return rows
