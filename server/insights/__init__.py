"""Statistics of feedback: rates with intervals, trends, one person's judgements. Pure but service.

Every number comes with how sure it is, or is null with a reason. `service` asks the store; the
other modules take its tallies and give values.
"""
