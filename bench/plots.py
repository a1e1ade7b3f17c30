"""Plots through gnuplot, each as SVG and PNG; without gnuplot there are none, and the report says so."""
import shutil
import subprocess


def available():
    return shutil.which("gnuplot") is not None


def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def draw(folder, name, settings, data, commands):
    """Draws `commands` (a `plot` line) twice; `data` are blocks of rows, named $data0, $data1, ..."""
    blocks = []
    for number, rows in enumerate(data):
        lines = "\n".join(" ".join(quoted(cell) if isinstance(cell, str) else repr(cell)
                                   for cell in row) for row in rows)
        blocks.append(f"$data{number} << EOD\n{lines}\nEOD\n")
    script = ["set grid", *settings, *blocks]
    for kind, terminal in (("svg", 'svg size 900,520 font "sans,13" background "white"'),
                           ("png", 'pngcairo size 900,520 font "sans,10" background "white"')):
        script += [f"set terminal {terminal}", f"set output {quoted(folder / f'{name}.{kind}')}",
                   commands, "unset output"]
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"gnuplot: {name}: {done.stderr.strip()[-400:]}")
    return f"![{name}]({name}.svg)\n"


def lines(folder, name, title, x_label, y_label, series, log_x=False, log_y=False):
    """`series` is a dictionary of label to (x, y) pairs."""
    settings = [f"set title {quoted(title)}", f"set xlabel {quoted(x_label)}",
                f"set ylabel {quoted(y_label)}", "set key outside right"]
    if log_x:
        settings.append("set logscale x 2")
    if log_y:
        settings.append("set logscale y")
    plots = [f"$data{number} using 1:2 with linespoints linewidth 2 title {quoted(label)}"
             for number, label in enumerate(series)]
    return draw(folder, name, settings, [sorted(points) for points in series.values()],
                "plot " + ", ".join(plots))


def histograms(folder, name, title, unit, series):
    """Shares of all samples by bucket, on a logarithmic axis: tails are what there is to see."""
    settings = [f"set title {quoted(title)}", f"set xlabel {quoted(unit)}",
                'set ylabel "share of samples"', "set logscale x", "set logscale y",
                "set key outside right"]
    blocks = []
    for buckets in series.values():
        total = sum(count for _, count in buckets) or 1
        blocks.append([(max(float(lower), 1e-3), count / total) for lower, count in buckets if count])
    plots = [f"$data{number} using 1:2 with histeps linewidth 2 title {quoted(label)}"
             for number, label in enumerate(series)]
    return draw(folder, name, settings, blocks, "plot " + ", ".join(plots))


def bars(folder, name, title, y_label, labels, series):
    """Groups of bars: `series` is a dictionary of label to one value (or None) for each of `labels`."""
    settings = [f"set title {quoted(title)}", f"set ylabel {quoted(y_label)}", "set yrange [0:*]",
                "set style data histograms", "set style histogram clustered gap 1",
                "set style fill solid 0.8 border -1", "set xtics rotate by -30 noenhanced",
                "set key outside right", 'set datafile missing "?"']
    rows = [[label, *[values[number] if values[number] is not None else "?"
                      for values in series.values()]] for number, label in enumerate(labels)]
    plots = [f"$data0 using {number + 2}:xtic(1) title {quoted(label)}"
             for number, label in enumerate(series)]
    return draw(folder, name, settings, [rows], "plot " + ", ".join(plots))
