"""Fuzzing of every parser: what comes from files, clients and servers must not crash us."""
