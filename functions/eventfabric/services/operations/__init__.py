"""Operations: the verbs of operators, such as replay, restore, skip, quarantine, failover, and dead letters."""
