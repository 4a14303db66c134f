"""All that is known about a measured quantity, one record a measure: a file each, or one for a family found together.

`registry.MEASURES` has a line for each; whatever the house knows about a measure (rows, budgets, limits, columns,
charts, criteria, references, explanations) is read from its record.

The words of a measure are needed where no torch may be imported (`explain`, `check`, `report`), and by every floor of
the house. So the records stand on the ground floor and import nothing of the house; the function that computes a
measure is named by its place, `module:name`, and looked up when something is measured. A test holds that every name
leads to a function.
"""
