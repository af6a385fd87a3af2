"""Alarms and objectives, exactly as `eventfabric.deployment.alarms` declares them."""

from collections.abc import Sequence

from aws_cdk import aws_applicationsignals as applicationsignals
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from eventfabric.deployment.alarms import BURN_WINDOW_MINUTES, Alarm, Objective

_GOOD_MINUTE = "p99"


class FabricAlarm(Construct):
    """One alarm. `topics` are notified when it goes off and when it ends."""

    def __init__(self, scope: Construct, id: str, alarm: Alarm, *, topics: Sequence[str]) -> None:
        super().__init__(scope, id)
        rule, side = alarm.rule, "LessThan" if alarm.rule.is_below else "GreaterThanOrEqualTo"
        cloudwatch.CfnAlarm(
            self,
            "Alarm",
            alarm_name=alarm.name,
            alarm_description=alarm.description,
            namespace=alarm.series.namespace,
            metric_name=alarm.series.name,
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value)
                for name, value in alarm.series.dimensions
            ],
            statistic=rule.statistic,
            comparison_operator=f"{side}Threshold",
            threshold=rule.threshold,
            period=rule.period_seconds,
            evaluation_periods=rule.periods,
            datapoints_to_alarm=rule.datapoints,
            treat_missing_data=rule.missing,
            alarm_actions=list(topics) or None,
            ok_actions=list(topics) or None,
        )


class FabricObjective(Construct):
    """One service level objective, measured by its share of good minutes."""

    def __init__(self, scope: Construct, id: str, objective: Objective) -> None:
        super().__init__(scope, id)
        kind = applicationsignals.CfnServiceLevelObjective
        metric = kind.MetricProperty(
            namespace=objective.series.namespace,
            metric_name=objective.series.name,
            dimensions=[
                kind.DimensionProperty(name=name, value=value) for name, value in objective.series.dimensions
            ],
        )
        kind(
            self,
            "Objective",
            name=objective.name,
            description=objective.description,
            sli=kind.SliProperty(
                comparison_operator="LessThanOrEqualTo",
                metric_threshold=objective.slo.latency_ms,
                sli_metric=kind.SliMetricProperty(
                    metric_data_queries=[
                        kind.MetricDataQueryProperty(
                            id="latency",
                            metric_stat=kind.MetricStatProperty(metric=metric, period=60, stat=_GOOD_MINUTE),
                            return_data=True,
                        )
                    ]
                ),
            ),
            goal=kind.GoalProperty(
                attainment_goal=objective.goal_percent,
                interval=kind.IntervalProperty(
                    rolling_interval=kind.RollingIntervalProperty(
                        duration=objective.slo.days, duration_unit="DAY"
                    )
                ),
            ),
            burn_rate_configurations=[
                kind.BurnRateConfigurationProperty(look_back_window_minutes=BURN_WINDOW_MINUTES)
            ],
        )
