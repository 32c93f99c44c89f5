"""The tables of dose as files: factors, reference levels, names, rules of alarms."""
