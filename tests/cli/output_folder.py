"""What an analysis leaves in its output folder."""

FILES = [
    ".diffeo-probe.lock",
    "log.txt",
    "measurements.sqlite",
    "report.html",
    "result.json",
    "run.toml",
    "units.csv",
]
