"""The room that joins sandbox, connections and packages into running services."""
