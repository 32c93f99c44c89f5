"""Queues of tasks: SQLite in a lake's folder, or Kafka for many machines."""
