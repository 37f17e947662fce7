"""The command ``report``: everything under ``results/`` → one page that opens anywhere."""

from __future__ import annotations

from pydantic import Field

from pipeline.commands.command import Call, Command, ModelName, Options


class ReportOptions(Options):
    """Options of ``pipeline report``."""

    models: tuple[ModelName, ...] = Field(
        (), description="models of the report, which then has their names; without it all"
    )


def run(call: Call[ReportOptions]) -> None:
    """Write ``results/report.html``, or the page of the named models."""
    from pipeline.reporting.report import report

    report(call.options.models, root=call.root)


COMMAND = Command(
    options=ReportOptions,
    run=run,
    examples=("pipeline report", "pipeline report models=[mlp,cnn]"),
)
