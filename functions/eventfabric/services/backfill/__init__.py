"""Backfill: copy what another Region lacks of a lane."""
