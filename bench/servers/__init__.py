"""Everything that is measured, started for a run on a fresh folder and ended with it."""
