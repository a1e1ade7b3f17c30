"""Tables, plots and claims out of the records of bench/exits."""
import judge
import plots
from tables import markdown, number

GROUPS = {"exits": "What an exit costs", "framework": "What the framework adds",
          "qemu": "Against QEMU, one and the same guest"}


def figures(records, group):
    return [one for one in records if one["group"] == group and "p50" in one]


def ratios(records, group):
    return [one for one in records if one["group"] == group and "ratio" in one]


def missing(records, group):
    return [one for one in records if one["group"] == group and "missing" in one]


def rings(records):
    return sorted({one.get("ring") for one in records}, key=lambda ring: (ring is None, ring))


def ring_text(ring):
    return "guest ring not applicable" if ring is None else f"guest ring {ring}"


def figure_table(found):
    variants = any(one.get("variant") for one in found)
    head = ["round trip", *(["by"] if variants else []), "p50, ns", "p99", "p99.9", "smallest",
            "exits each", "samples", "remark"]
    rows = []
    for one in found:
        remark = one.get("note") or ""
        if one.get("bytes_per_second"):
            remark = f"{one['bytes_per_second'] / 1e6:,.1f} MB/s" + (f"; {remark}" if remark else "")
        rows.append([one["name"], *([one.get("variant") or ""] if variants else []),
                     *[number(one.get(key)) for key in ("p50", "p99", "p999", "min")],
                     f"{one.get('exits_per_op', 1):.3g}", f"{one['count']:,.0f}", remark])
    return markdown(head, rows)


def missing_table(found):
    return markdown(["what this KVM lacks", "ring", "what failed", "errno"],
                    [[one["name"], "" if one.get("ring") is None else one["ring"], one["missing"],
                      one.get("errno") or ""] for one in found])


def verdict_of(record, records):
    """What the run's own interval says about a ratio record; None where nothing is claimed."""
    if record["group"] != "framework":
        return None
    variant, versus = record.get("variant"), record.get("versus", "")
    if variant == "portico" and versus in ("bare", "bare, in line"):
        bare = [one["p50"] for one in figures(records, "framework")
                if one["name"] == record["name"] and one.get("ring") == record.get("ring") and
                one.get("variant") == versus]
        limit, verdict = judge.framework_adds(record, bare[0] if bare else 0)
        return f"adds at most {number(limit)} ns (1 % of the median or 50 ns)", verdict
    if variant == "baseline" and versus in ("bare", "portico"):
        return ("costs more than " + ("the bare loop" if versus == "bare" else "Portico"),
                judge.costs_more(record))
    return None


def ratio_table(found, records):
    rows = []
    for one in found:
        claim = verdict_of(one, records)
        rows.append([one["name"], "" if one.get("ring") is None else one["ring"],
                     f"{one.get('variant') or 'portico'} / {one['versus']}", f"{one['ratio']:.4f}",
                     f"{one['low']:.4f} to {one['high']:.4f}", number(one["difference_ns"]),
                     f"{number(one['difference_low'])} to {number(one['difference_high'])}",
                     f"{one['samples']:.0f}", claim[0] if claim else "", claim[1] if claim else ""])
    return markdown(["round trip", "ring", "compared", "ratio", "95 % interval", "difference, ns",
                     "95 % interval", "samples", "claim", "this run"], rows)


def claims(records):
    """One line for each claim and ring, over all kinds of exit: the worst verdict stands."""
    worst = {}
    order = [judge.HOLDS, judge.OPEN, judge.MISSED]
    for one in ratios(records, "framework"):
        claim = verdict_of(one, records)
        if claim is None:
            continue
        if one.get("variant") == "portico":
            key = f"`Machine` adds at most 1 % of the median or 50 ns to the loop `{one['versus']}`"
        else:
            key = f"the baseline of other monitors {claim[0]}"
        key += f", ring {one.get('ring')}"
        worst.setdefault(key, []).append((one, claim[1]))
    rows = []
    for key, found in worst.items():
        verdict = max((verdict for _, verdict in found), key=order.index)
        kinds = [f"{one['name']} ({number(one['difference_ns'])} ns, {number(one['difference_low'])} to "
                 f"{number(one['difference_high'])})" for one, own in found if own == verdict]
        if len(kinds) > 2:
            kinds = [*kinds[:2], f"{len(kinds) - 2} more"]
        rows.append([key, "; ".join(kinds), verdict])
    return rows


def open_sentences(records):
    """For every claim that the interval does not support, a sentence that says so."""
    sentences = []
    for one in ratios(records, "framework"):
        claim = verdict_of(one, records)
        if claim and claim[1] != judge.HOLDS:
            sentences.append(
                f"- {one['name']}, ring {one.get('ring')}: that {one.get('variant')} "
                f"{claim[0]} is {'refuted' if claim[1] == judge.MISSED else 'not supported'} by this "
                f"run's interval: {number(one['difference_low'])} to "
                f"{number(one['difference_high'])} ns.\n")
    return "".join(sentences)


def main_rows(records):
    """The round trips that a reader looks for first, ring 0 and ring 3 side by side."""
    wanted = ["out 1 byte", "in 1 byte", "MMIO store 4 bytes", "MMIO load 4 bytes",
              "out 2 bytes, ioeventfd", "MMIO store 4 bytes, ioeventfd",
              "MMIO store 4 bytes, ioeventfd, length 0", "out 1 byte, coalesced",
              "MMIO store 4 bytes, coalesced", "in 1 byte, PIC in the kernel", "cpuid"]
    by_key = {(one["name"], one.get("ring")): one for one in figures(records, "exits")}
    rows = []
    for name in wanted:
        cells = [by_key.get((name, ring)) for ring in (0, 3)]
        if any(cells):
            rows.append([name, *[number(one[key]) if one else "" for one in cells
                                 for key in ("p50", "p99")]])
    return rows


def csv_rows(records):
    for one in records:
        row = {"section": one["group"], "name": one["name"], "variant": one.get("variant"),
               "parameter": None if one.get("ring") is None else f"ring {one['ring']}"}
        if "missing" in one:
            yield {**row, "note": f"missing: {one['missing']} ({one.get('errno')})"}
        elif "ratio" in one:
            yield {**row, "unit": f"ratio to {one['versus']}", "value": one["ratio"],
                   "low": one["low"], "high": one["high"], "count": one["samples"]}
            yield {**row, "unit": f"ns above {one['versus']}", "value": one["difference_ns"],
                   "low": one["difference_low"], "high": one["difference_high"],
                   "count": one["samples"]}
        else:
            yield {**row, "unit": one["unit"], "count": one["count"], "value": one["p50"],
                   **{key: one.get(key) for key in ("p50", "p99", "p999", "min", "mean", "note")}}


def pio_against_mmio(records):
    """Labels and, for each ring, medians: ports beside MMIO, with and without eventfd."""
    pairs = [("write", "out 4 bytes", "MMIO store 4 bytes"), ("read", "in 4 bytes", "MMIO load 4 bytes"),
             ("write, ioeventfd", "out 2 bytes, ioeventfd", "MMIO store 2 bytes, ioeventfd"),
             ("write, datamatch", "out 2 bytes, ioeventfd, datamatch",
              "MMIO store 4 bytes, ioeventfd, datamatch"),
             ("write, length 0", None, "MMIO store 4 bytes, ioeventfd, length 0"),
             ("write, coalesced", "out 1 byte, coalesced", "MMIO store 4 bytes, coalesced")]
    by_key = {(one["name"], one.get("ring")): one["p50"] for one in figures(records, "exits")}
    present = [ring for ring in (0, 3) if any(key[1] == ring for key in by_key)]
    series = {f"{kind}, ring {ring}": [by_key.get((pair[place], ring)) for pair in pairs]
              for ring in present for place, kind in ((1, "port"), (2, "MMIO"))}
    return [pair[0] for pair in pairs], series


def draw(records, folder):
    texts = []
    labels, series = pio_against_mmio(records)
    if series:
        texts.append(plots.bars(folder, "pio_mmio", "Ports against MMIO, median", "ns", labels, series))
    for ring in rings(figures(records, "exits")):
        kinds = {one["name"]: one["histogram"] for one in figures(records, "exits")
                 if one.get("ring") == ring and one.get("histogram") and
                 one["name"] in ("out 1 byte", "in 1 byte", "MMIO store 4 bytes", "MMIO load 4 bytes",
                                 "out 2 bytes, ioeventfd", "MMIO store 4 bytes, ioeventfd",
                                 "out 1 byte, coalesced")}
        if kinds:
            texts.append(plots.histograms(folder, f"exits_ring{ring}", f"Round trips, {ring_text(ring)}",
                                          "ns", kinds))
    return texts


def draw_all_histograms(records, folder):
    """A plot for each round trip; returns how many."""
    count = 0
    for one in figures(records, "exits"):
        if one.get("histogram"):
            name = "histogram_" + "".join(c if c.isalnum() else "_" for c in one["name"]) + \
                ("" if one.get("ring") is None else f"_ring{one['ring']}")
            plots.histograms(folder, name, f"{one['name']}, {ring_text(one.get('ring'))}", "ns",
                             {"samples": one["histogram"]})
            count += 1
    return count


def sections(records, folder):
    """The Markdown of all three groups; plots are drawn into `folder` if there is one."""
    text = []
    for group, title in GROUPS.items():
        own = [one for one in records if one["group"] == group]
        if not own:
            continue
        text.append(f"## {title}\n")
        for ring in rings(figures(records, group)):
            found = [one for one in figures(records, group) if one.get("ring") == ring]
            text += [f"### {ring_text(ring).capitalize()}\n", figure_table(found)]
        if missing(records, group):
            text.append(missing_table(missing(records, group)))
        if ratios(records, group):
            text += ["### In turns, as a ratio\n", ratio_table(ratios(records, group), records)]
        if group == "framework":
            text.append(open_sentences(records))
        if group == "exits" and folder is not None:
            text += draw(records, folder)
            count = draw_all_histograms(records, folder / "histograms")
            text.append(f"All {count} histograms, one for each round trip, are in `histograms/`.\n")
    return text
