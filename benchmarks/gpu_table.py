"""Table of ``gpu.py`` as Markdown."""


def head(results):
    """Description of the machine and header of the table."""
    peaks = results["peak_tflops"]
    return (
        f"{results['device']}, torch {results['torch']}, CUDA "
        f"{results['cuda']}; width {results['width']}, views of "
        f"{results['chunk_s']:g} s: {results['gflop_per_clip']:.4g} GFLOP a "
        f"recording; bfloat16 TFLOP/s: {peaks['sheet'] or 'unknown'} by the "
        f"data sheet, {peaks['product']:.4g} in products, "
        f"{peaks['convolution']:.4g} in convolutions\n\n"
        "| variant | batch | recordings/s (quartiles) | TFLOP/s | of peak "
        "| GB | waits for data | syncs/step | times the reference |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )


def line(row):
    """Format a row of the table."""
    begin = f"| {row['variant']} | {row['batch_size']} |"
    if "note" in row:
        return f"{begin} {row['note']} | | | | | | |"
    memory = f"{row['peak_gb']:.2f}" if "peak_gb" in row else ""
    syncs = sum(row["syncs"].values()) if "syncs" in row else ""
    times = ", ".join(
        f"{variant} {in_words(ratio, '.2f')}"
        for variant, ratio in row.get("times_as_fast", {}).items()
    )
    return (
        f"{begin} {in_words(row['clips_per_s'], '.4g')} | "
        f"{row['tflops']:.3g} | {row['of_peak']:.1%} | {memory} | "
        f"{row['waits_for_data']:.1%} | {syncs} | {times} |"
    )


def in_words(values, form):
    """Format as ``median (low to high)``."""
    low, high = values["quartiles"]
    return f"{values['median']:{form}} ({low:{form}} to {high:{form}})"


def summary(results):
    """Largest batches, and where the host waits for the GPU."""
    lines = [
        f"{variant}: the largest batch that fits is {batch_size}"
        for variant, batch_size in results["largest_batch"].items()
    ]
    waits = {r["variant"]: r["syncs"] for r in results["rows"] if "syncs" in r}
    for variant, syncs in waits.items():
        at = ", ".join(f"{place} ({n})" for place, n in syncs.items())
        lines.append(f"{variant}: the host waits at {at or 'no line'}")
    return "\n".join(lines)
