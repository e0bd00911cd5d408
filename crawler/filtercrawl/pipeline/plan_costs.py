"""Add to a report what a plan is expected to cost."""

from __future__ import annotations

from filtercrawl.dataset.catalog.content_owners import ContentOwners
from filtercrawl.pipeline.composition import Stages, SyncContext
from filtercrawl.pipeline.planning.estimate import CostEstimator
from filtercrawl.pipeline.records import Plan
from filtercrawl.pipeline.report import SyncReport


def estimate_plan(plan: Plan, context: SyncContext, stages: Stages, report: SyncReport) -> None:
    """Add to the report what the tasks of a plan are expected to cost; sends no request and writes nothing.

    Raises:
        Cancelled: The run was cancelled.
    """
    with ContentOwners(stages.dataset.catalog.path) as owners:
        estimator = CostEstimator(sources=context.plugins.sources, transport=stages.transport, known_contents=owners)
        for task in plan.tasks:
            context.cancellation.raise_if_cancelled()
            report.add_estimate(task, estimator.estimate(task))
            context.progress.done(task.model_id, task.action)
